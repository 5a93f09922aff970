# What each role does in S3, from the source (crates/store, crates/ledger, crates/worker, crates/cli):
#
#   HEAD, and GET with a range and If-Match  s3:GetObject
#   PUT, also with If-None-Match             s3:PutObject
#   PUT with If-Match                        s3:PutObject and s3:GetObject
#   DELETE                                   s3:DeleteObject
#   listing                                  s3:ListBucket
#
# There are no multipart uploads, no copies, no tags and no access lists. S3 answers 404 for an object that does
# not exist only to those who may list the bucket, else 403; the program tells a missing object from a denied one.
# So s3:ListBucket has no condition on the prefix: it would not hold for HEAD and GET, which have none.

locals {
  recordings  = [for prefix in var.recordings_prefixes : "${var.recordings_arn}/${prefix}*"]
  transcripts = [for prefix in var.outputs : "${var.transcripts_arn}/${prefix}*"]

  # Records of batches lie in <output>/.scriptorium/<batch>/, where the output is any prefix below one of var.outputs.
  records = { for kind, pattern in {
    all      = "*"
    batch    = "batch.json"
    control  = "control.json"
    runs     = "running/*"
    saves    = "checkpoint/*"
    tallies  = "tally/*"
    repeated = "resubmitted/*"
    written  = "submission/*"
    listed   = "manifest/*"
  } : kind => [for prefix in var.outputs : "${var.transcripts_arn}/${prefix}*.scriptorium/*/${pattern}"] }

  # The record of a failure beside the missing transcript, and the object that tries out what the store honours.
  errors = [for prefix in var.outputs : "${var.transcripts_arn}/${prefix}*.error.json"]
  probes = [for prefix in var.outputs : "${var.transcripts_arn}/${prefix}*.scriptorium-probe-*"]

  key = {
    Sid       = "UseTheKey"
    Effect    = "Allow"
    Resource  = var.kms_key_arns
    Condition = { StringLike = { "kms:ViaService" = "s3.*.amazonaws.com" } }
  }

  policies = {
    worker = [
      {
        Sid      = "ReadRecordings"
        Effect   = "Allow"
        Action   = "s3:GetObject"
        Resource = local.recordings
      },
      {
        Sid      = "ReadAndWriteTranscriptsAndRecords"
        Effect   = "Allow"
        Action   = ["s3:GetObject", "s3:PutObject"]
        Resource = local.transcripts
      },
      {
        # A worker decodes files from anywhere. Whoever takes it over cannot change what was submitted.
        Sid    = "WhatWasSubmittedStays"
        Effect = "Deny"
        Action = "s3:PutObject"
        Resource = concat(
          local.records.batch, local.records.control, local.records.written, local.records.listed, local.records.repeated,
        )
      },
      {
        Sid      = "DeleteWhatIsTemporary"
        Effect   = "Allow"
        Action   = "s3:DeleteObject"
        Resource = concat(local.records.runs, local.records.saves, local.errors, local.probes)
      },
      {
        Sid      = "TellMissingFromDenied"
        Effect   = "Allow"
        Action   = "s3:ListBucket"
        Resource = [var.recordings_arn, var.transcripts_arn]
      },
      merge(local.key, { Action = ["kms:Decrypt", "kms:GenerateDataKey"] }),
    ]

    # Also for status, results, dead, pause, resume and cancel.
    submit = [
      {
        # To estimate durations (--dry-run), and to read a manifest that lies there.
        Sid      = "ReadRecordings"
        Effect   = "Allow"
        Action   = "s3:GetObject"
        Resource = local.recordings
      },
      {
        Sid      = "ReadRecords"
        Effect   = "Allow"
        Action   = "s3:GetObject"
        Resource = concat(local.records.all, local.probes)
      },
      {
        Sid    = "WriteSubmissions"
        Effect = "Allow"
        Action = "s3:PutObject"
        Resource = concat(
          local.records.batch, local.records.control, local.records.written, local.records.listed, local.records.repeated,
          local.records.tallies, local.probes,
        )
      },
      {
        Sid      = "DeleteWhatIsOver"
        Effect   = "Allow"
        Action   = "s3:DeleteObject"
        Resource = concat(local.records.control, local.errors, local.probes)
      },
      {
        Sid      = "ListArchives"
        Effect   = "Allow"
        Action   = "s3:ListBucket"
        Resource = [var.recordings_arn, var.transcripts_arn]
      },
      merge(local.key, { Action = ["kms:Decrypt", "kms:GenerateDataKey"] }),
    ]

    bridge = [
      {
        # The record of a day's batch, if there is none: the bridge does nothing else in S3, and cannot replace one.
        Sid       = "CreateBatches"
        Effect    = "Allow"
        Action    = "s3:PutObject"
        Resource  = local.records.batch
        Condition = { Null = { "s3:if-none-match" = "false" } }
      },
      merge(local.key, { Action = "kms:GenerateDataKey" }),
    ]
  }
}
