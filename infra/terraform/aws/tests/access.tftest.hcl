# What the roles may do, and above all what they may not.

mock_provider "aws" {
  source          = "./tests/mocks"
  override_during = plan
}

variables {
  region                    = "eu-central-1"
  recordings_bucket         = "acme-recordings"
  recordings_prefixes       = ["calls/"]
  transcripts_bucket        = "acme-transcripts"
  outputs                   = ["calls/"]
  broker_bootstrap_password = "twelve-characters"
}

run "roles" {
  command = plan

  # Workers

  assert {
    condition = toset(flatten([
      for s in module.access.policies.worker : s.Action if s.Effect == "Allow"
      ])) == toset([
      "s3:GetObject", "s3:PutObject", "s3:DeleteObject", "s3:ListBucket", "kms:Decrypt", "kms:GenerateDataKey",
    ])
    error_message = "A worker may do what it does, and nothing else."
  }

  assert {
    condition = !anytrue(flatten([
      for s in module.access.policies.worker : [for r in flatten([s.Resource]) : startswith(r, "arn:aws:s3:::acme-recordings")]
      if s.Effect == "Allow" && length(setintersection(flatten([s.Action]), ["s3:PutObject", "s3:DeleteObject"])) > 0
    ]))
    error_message = "A worker changes no recording."
  }

  assert {
    condition = alltrue(flatten([
      for s in module.access.policies.worker : [for r in flatten([s.Resource]) :
        strcontains(r, ".scriptorium/*/running/") || strcontains(r, ".scriptorium/*/checkpoint/") ||
        endswith(r, "*.error.json") || endswith(r, ".scriptorium-probe-*")
      ] if contains(flatten([s.Action]), "s3:DeleteObject")
    ]))
    error_message = "A worker deletes nothing but what is temporary: no transcript, no record of a result."
  }

  assert {
    condition = alltrue([for kind in ["batch.json", "control.json", "submission/*", "manifest/*", "resubmitted/*"] :
      contains(
        flatten([for s in module.access.policies.worker : s.Resource if s.Effect == "Deny" && s.Action == "s3:PutObject"]),
        "arn:aws:s3:::acme-transcripts/calls/*.scriptorium/*/${kind}",
      )
    ])
    error_message = "A worker cannot change what was submitted."
  }

  assert {
    condition = flatten([
      for s in module.access.policies.worker : s.Resource if contains(flatten([s.Action]), "s3:ListBucket")
    ]) == ["arn:aws:s3:::acme-recordings", "arn:aws:s3:::acme-transcripts"]
    error_message = "Without s3:ListBucket on both buckets, S3 answers 403 for objects that do not exist."
  }

  assert {
    condition = !anytrue([
      for s in module.access.policies.worker : contains(keys(s), "Condition") if contains(flatten([s.Action]), "s3:ListBucket")
    ])
    error_message = "A condition on the prefix does not hold for HEAD and GET: they would get 403 again."
  }

  # Submitting

  assert {
    condition = alltrue(flatten([
      for s in module.access.policies.submit : [for r in flatten([s.Resource]) :
        strcontains(r, ".scriptorium/*/") || strcontains(r, ".scriptorium-probe-") || endswith(r, "*.error.json")
      ] if length(setintersection(flatten([s.Action]), ["s3:PutObject", "s3:DeleteObject"])) > 0
    ]))
    error_message = "Submitting writes records only, no transcript and no recording."
  }

  assert {
    condition = !anytrue(flatten([
      for s in module.access.policies.submit : [for r in flatten([s.Resource]) :
        strcontains(r, "/done/") || strcontains(r, "/failed/") || strcontains(r, "/running/") || endswith(r, ".scriptorium/*/*")
      ] if contains(flatten([s.Action]), "s3:PutObject")
    ]))
    error_message = "Submitting records no results."
  }

  # The bridge

  assert {
    condition     = toset(flatten([for s in module.access.policies.bridge : s.Action])) == toset(["s3:PutObject", "kms:GenerateDataKey"])
    error_message = "A bridge reads, lists and deletes nothing."
  }

  assert {
    condition = (
      module.access.policies.bridge[0].Resource == ["arn:aws:s3:::acme-transcripts/calls/*.scriptorium/*/batch.json"]
      && module.access.policies.bridge[0].Condition.Null["s3:if-none-match"] == "false"
    )
    error_message = "A bridge creates records of batches, and replaces none."
  }

  # All of them

  assert {
    condition = !anytrue(flatten([
      for statements in concat(values(module.access.policies), [module.uploads[0].statements]) : [
        for s in statements : [for a in flatten([s.Action]) : strcontains(a, "*")]
      ]
    ]))
    error_message = "Actions are named one by one."
  }

  assert {
    condition = !anytrue(flatten([
      for statements in values(module.access.policies) : [
        for s in statements : [for r in flatten([s.Resource]) : r == "*" || startswith(r, "arn:aws:s3:::*")]
      ]
    ]))
    error_message = "Resources are those of this deployment."
  }

  assert {
    condition = alltrue([
      for name, account in { worker = "scriptorium", submit = "scriptorium-submit", bridge = "scriptorium-bridge" } : (
        jsondecode(module.access.trust[name]).Statement[0].Condition.StringEquals["aws:RequestTag/kubernetes-service-account"] == account
        && jsondecode(module.access.trust[name]).Statement[0].Condition.StringEquals["aws:RequestTag/kubernetes-namespace"] == "scriptorium"
        && jsondecode(module.access.trust[name]).Statement[0].Condition.StringEquals["aws:RequestTag/eks-cluster-name"] == "scriptorium"
      )
    ])
    error_message = "Each role is for the pods of one service account of this cluster."
  }

  # Karpenter

  assert {
    condition = alltrue([
      for s in concat(values(module.karpenter.controller_policies)...) : contains(keys(s), "Condition")
      if length(setintersection(flatten([s.Action]), ["ec2:TerminateInstances", "ec2:CreateTags", "iam:DeleteInstanceProfile", "iam:PassRole"])) > 0
    ])
    error_message = "Karpenter changes its own nodes only."
  }

  assert {
    condition = alltrue([
      for policy in values(module.karpenter.controller_policies) :
      length(jsonencode({ Version = "2012-10-17", Statement = policy })) < 6144
    ])
    error_message = "A managed policy has at most 6144 characters."
  }
}
