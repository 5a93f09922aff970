output "recordings_arn" {
  description = "ARN of the bucket of the recordings."
  value       = local.arns.recordings
}

output "transcripts_arn" {
  description = "ARN of the bucket of the transcripts."
  value       = local.arns.transcripts
}

output "recordings_id" {
  description = "The bucket of the recordings if it was created here, else null."
  value       = var.create_recordings ? aws_s3_bucket.this["recordings"].id : null
}

# The rest is for tests.

output "public_access" {
  description = "Blocks of public access."
  value       = aws_s3_bucket_public_access_block.this
}

output "encryption" {
  description = "Encryption of the buckets."
  value       = aws_s3_bucket_server_side_encryption_configuration.this
}

output "versioning" {
  description = "Versions of the buckets."
  value       = aws_s3_bucket_versioning.this
}

output "bucket_policies" {
  description = "Policies of the buckets."
  value       = aws_s3_bucket_policy.this
}

output "lifecycle" {
  description = "Lifecycle rules of the buckets."
  value       = aws_s3_bucket_lifecycle_configuration.this
}
