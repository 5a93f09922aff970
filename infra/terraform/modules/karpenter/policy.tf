# The permissions that Karpenter's documentation states for version 1.15
# (karpenter.sh/v1.15/reference/cloudformation), without those of features that are not used here (placement
# groups, capacity reservations, zonal shift, reboots). Compare it with that page when Karpenter is upgraded.

locals {
  ec2     = "arn:${local.partition}:ec2:${data.aws_region.current.name}"
  account = data.aws_caller_identity.current.account_id
  owned   = "kubernetes.io/cluster/${var.cluster_name}"

  created = [for kind in [
    "fleet", "instance", "volume", "network-interface", "launch-template", "spot-instances-request",
  ] : "${local.ec2}:*:${kind}/*"]
  profiles = "arn:${local.partition}:iam::${local.account}:instance-profile/*"

  created_with_tags = {
    StringEquals = {
      "aws:RequestTag/${local.owned}"       = "owned"
      "aws:RequestTag/eks:eks-cluster-name" = var.cluster_name
    }
    StringLike = { "aws:RequestTag/karpenter.sh/nodepool" = "*" }
  }
  own_nodes = {
    StringEquals = { "aws:ResourceTag/${local.owned}" = "owned" }
    StringLike   = { "aws:ResourceTag/karpenter.sh/nodepool" = "*" }
  }
  own_profiles = {
    StringEquals = {
      "aws:ResourceTag/${local.owned}"                = "owned"
      "aws:ResourceTag/topology.kubernetes.io/region" = data.aws_region.current.name
    }
    StringLike = { "aws:ResourceTag/karpenter.k8s.aws/ec2nodeclass" = "*" }
  }

  # Two policies, because one would exceed the size that AWS allows.
  controller_policies = {
    nodes = [
      {
        Sid    = "ReadWhatInstancesAreMadeOf"
        Effect = "Allow"
        Action = ["ec2:RunInstances", "ec2:CreateFleet"]
        Resource = concat(
          ["${local.ec2}::image/*", "${local.ec2}::snapshot/*"],
          ["${local.ec2}:*:security-group/*", "${local.ec2}:*:subnet/*"],
        )
      },
      {
        Sid       = "UseOwnLaunchTemplates"
        Effect    = "Allow"
        Action    = ["ec2:RunInstances", "ec2:CreateFleet"]
        Resource  = "${local.ec2}:*:launch-template/*"
        Condition = local.own_nodes
      },
      {
        Sid       = "CreateNodes"
        Effect    = "Allow"
        Action    = ["ec2:RunInstances", "ec2:CreateFleet", "ec2:CreateLaunchTemplate"]
        Resource  = local.created
        Condition = local.created_with_tags
      },
      {
        Sid      = "TagWhatIsCreated"
        Effect   = "Allow"
        Action   = "ec2:CreateTags"
        Resource = local.created
        Condition = {
          StringEquals = merge(local.created_with_tags.StringEquals, {
            "ec2:CreateAction" = ["RunInstances", "CreateFleet", "CreateLaunchTemplate"]
          })
          StringLike = local.created_with_tags.StringLike
        }
      },
      {
        Sid      = "TagOwnNodes"
        Effect   = "Allow"
        Action   = "ec2:CreateTags"
        Resource = "${local.ec2}:*:instance/*"
        Condition = merge(local.own_nodes, {
          StringEqualsIfExists        = { "aws:RequestTag/eks:eks-cluster-name" = var.cluster_name }
          "ForAllValues:StringEquals" = { "aws:TagKeys" = ["eks:eks-cluster-name", "karpenter.sh/nodeclaim", "Name"] }
        })
      },
      {
        Sid       = "DeleteOwnNodes"
        Effect    = "Allow"
        Action    = ["ec2:TerminateInstances", "ec2:DeleteLaunchTemplate"]
        Resource  = ["${local.ec2}:*:instance/*", "${local.ec2}:*:launch-template/*"]
        Condition = local.own_nodes
      },
    ]
    discovery = [
      {
        Sid    = "ReadTheRegion"
        Effect = "Allow"
        Action = [for what in [
          "CapacityReservations", "Images", "Instances", "InstanceStatus", "InstanceTypeOfferings",
          "InstanceTypes", "LaunchTemplates", "PlacementGroups", "SecurityGroups", "SpotPriceHistory", "Subnets",
        ] : "ec2:Describe${what}"]
        Resource  = "*"
        Condition = { StringEquals = { "aws:RequestedRegion" = data.aws_region.current.name } }
      },
      {
        Sid      = "ReadNamesOfImages"
        Effect   = "Allow"
        Action   = "ssm:GetParameter"
        Resource = "arn:${local.partition}:ssm:${data.aws_region.current.name}::parameter/aws/service/*"
      },
      {
        Sid      = "ReadPricesAndListProfiles"
        Effect   = "Allow"
        Action   = ["pricing:GetProducts", "iam:ListInstanceProfiles"]
        Resource = "*"
      },
      {
        Sid      = "FindTheCluster"
        Effect   = "Allow"
        Action   = "eks:DescribeCluster"
        Resource = var.cluster_arn
      },
      {
        Sid      = "ReadInterruptions"
        Effect   = "Allow"
        Action   = ["sqs:DeleteMessage", "sqs:GetQueueUrl", "sqs:ReceiveMessage"]
        Resource = aws_sqs_queue.interruptions.arn
      },
      {
        Sid       = "GiveNodesTheirRole"
        Effect    = "Allow"
        Action    = "iam:PassRole"
        Resource  = aws_iam_role.node.arn
        Condition = { StringEquals = { "iam:PassedToService" = ["ec2.amazonaws.com", "ec2.amazonaws.com.cn"] } }
      },
      {
        Sid      = "ReadProfiles"
        Effect   = "Allow"
        Action   = "iam:GetInstanceProfile"
        Resource = local.profiles
      },
      {
        Sid      = "CreateProfiles"
        Effect   = "Allow"
        Action   = "iam:CreateInstanceProfile"
        Resource = local.profiles
        Condition = {
          StringEquals = {
            "aws:RequestTag/${local.owned}"                = "owned"
            "aws:RequestTag/eks:eks-cluster-name"          = var.cluster_name
            "aws:RequestTag/topology.kubernetes.io/region" = data.aws_region.current.name
          }
          StringLike = { "aws:RequestTag/karpenter.k8s.aws/ec2nodeclass" = "*" }
        }
      },
      {
        Sid      = "TagOwnProfiles"
        Effect   = "Allow"
        Action   = "iam:TagInstanceProfile"
        Resource = local.profiles
        Condition = {
          StringEquals = merge(local.own_profiles.StringEquals, {
            "aws:RequestTag/${local.owned}"                = "owned"
            "aws:RequestTag/eks:eks-cluster-name"          = var.cluster_name
            "aws:RequestTag/topology.kubernetes.io/region" = data.aws_region.current.name
          })
          StringLike = merge(local.own_profiles.StringLike, {
            "aws:RequestTag/karpenter.k8s.aws/ec2nodeclass" = "*"
          })
        }
      },
      {
        Sid       = "ChangeOwnProfiles"
        Effect    = "Allow"
        Action    = ["iam:AddRoleToInstanceProfile", "iam:RemoveRoleFromInstanceProfile", "iam:DeleteInstanceProfile"]
        Resource  = local.profiles
        Condition = local.own_profiles
      },
    ]
  }
}
