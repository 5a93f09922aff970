# One IAM role each for workers, for submitting, and for the bridge, given to pods by EKS Pod Identity. policies.tf
# states what each may do. No role may change a recording or delete a transcript.

data "aws_caller_identity" "current" {}

resource "aws_iam_role" "this" {
  for_each = local.policies
  name     = "${var.cluster_name}-${each.key}"
  assume_role_policy = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Effect    = "Allow"
      Principal = { Service = "pods.eks.amazonaws.com" }
      Action    = ["sts:AssumeRole", "sts:TagSession"]
      Condition = {
        StringEquals = {
          "aws:SourceAccount"                         = data.aws_caller_identity.current.account_id
          "aws:RequestTag/eks-cluster-name"           = var.cluster_name
          "aws:RequestTag/kubernetes-namespace"       = var.namespace
          "aws:RequestTag/kubernetes-service-account" = var.service_accounts[each.key]
        }
      }
    }]
  })
}

resource "aws_iam_role_policy" "this" {
  for_each = local.policies
  name     = "scriptorium"
  role     = aws_iam_role.this[each.key].id
  policy   = jsonencode({ Version = "2012-10-17", Statement = each.value })
}

resource "aws_eks_pod_identity_association" "this" {
  for_each        = local.policies
  cluster_name    = var.cluster_name
  namespace       = var.namespace
  service_account = var.service_accounts[each.key]
  role_arn        = aws_iam_role.this[each.key].arn
}
