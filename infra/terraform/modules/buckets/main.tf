# The bucket of the recordings, unless there is one already, and the bucket of the transcripts with the records
# of the batches.

data "aws_partition" "current" {}

locals {
  owned = merge(
    var.create_recordings ? { recordings = var.recordings_name } : {},
    { transcripts = var.transcripts_name },
  )
  arns = {
    for kind, name in { recordings = var.recordings_name, transcripts = var.transcripts_name } :
    kind => "arn:${data.aws_partition.current.partition}:s3:::${name}"
  }

  # Recordings are originals. Transcripts can be made again; and there a worker creates and deletes a record for
  # each job, and replaces its counts every two seconds: with versions, each of these would stay as an old version
  # or a delete marker, and listings would step over them.
  versioned = merge({ recordings = true }, { transcripts = var.transcripts_versioning })
}

resource "aws_s3_bucket" "this" {
  #checkov:skip=CKV_AWS_144:A second region is a decision about the archive, not about transcribing it
  #checkov:skip=CKV_AWS_18:Log access with the account's CloudTrail data events; a log bucket here would need one, too
  #checkov:skip=CKV2_AWS_62:Uploads are announced by the module uploads; nobody waits for events of transcripts
  #checkov:skip=CKV_AWS_21:The resource aws_s3_bucket_versioning below; why transcripts have no versions, see local.versioned
  for_each      = local.owned
  bucket        = each.value
  force_destroy = false
}

resource "aws_s3_bucket_ownership_controls" "this" {
  for_each = local.owned
  bucket   = aws_s3_bucket.this[each.key].id

  # Access lists are off: policies alone decide.
  rule {
    object_ownership = "BucketOwnerEnforced"
  }
}

resource "aws_s3_bucket_public_access_block" "this" {
  for_each                = local.owned
  bucket                  = aws_s3_bucket.this[each.key].id
  block_public_acls       = true
  block_public_policy     = true
  ignore_public_acls      = true
  restrict_public_buckets = true
}

resource "aws_s3_bucket_server_side_encryption_configuration" "this" {
  for_each = local.owned
  bucket   = aws_s3_bucket.this[each.key].id

  rule {
    # With a key of the bucket, S3 asks the key service once in a while, not for each of millions of objects.
    bucket_key_enabled = true
    apply_server_side_encryption_by_default {
      sse_algorithm     = "aws:kms"
      kms_master_key_id = var.kms_key_arn
    }
  }
}

resource "aws_s3_bucket_versioning" "this" {
  for_each = local.owned
  bucket   = aws_s3_bucket.this[each.key].id

  versioning_configuration {
    # Not "Suspended", which would still leave a delete marker for each object that is deleted.
    status = local.versioned[each.key] ? "Enabled" : "Disabled"
  }
}

resource "aws_s3_bucket_policy" "this" {
  for_each = local.owned
  bucket   = aws_s3_bucket.this[each.key].id
  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Sid       = "OnlyWithTls"
      Effect    = "Deny"
      Principal = "*"
      Action    = "s3:*"
      Resource  = [local.arns[each.key], "${local.arns[each.key]}/*"]
      Condition = { Bool = { "aws:SecureTransport" = "false" } }
    }]
  })

  depends_on = [aws_s3_bucket_public_access_block.this]
}

resource "aws_s3_bucket_lifecycle_configuration" "this" {
  for_each = local.owned
  bucket   = aws_s3_bucket.this[each.key].id

  # Parts of uploads that were begun and never finished are invisible, and paid for. Scriptorium itself writes
  # each object with one request.
  rule {
    id     = "incomplete-uploads"
    status = "Enabled"
    filter {}
    abort_incomplete_multipart_upload {
      days_after_initiation = 7
    }
  }

  rule {
    id     = "old-versions"
    status = "Enabled"
    filter {}
    noncurrent_version_expiration {
      noncurrent_days = var.old_version_days
    }
    expiration {
      expired_object_delete_marker = true
    }
  }

  # The records of batches: states of jobs, manifests, counts, and what lost workers left of checkpoints and runs.
  # Rules take a prefix and no pattern, so there is one for each output. Transcripts are not below it.
  dynamic "rule" {
    for_each = each.key == "transcripts" && var.records_days > 0 ? toset(var.outputs) : toset([])
    content {
      id     = "records-${rule.value == "" ? "root" : trimsuffix(rule.value, "/")}"
      status = "Enabled"
      filter {
        prefix = "${rule.value}.scriptorium/"
      }
      expiration {
        days = var.records_days
      }
    }
  }

  # The transition to versioning must be known before rules about versions.
  depends_on = [aws_s3_bucket_versioning.this]
}
