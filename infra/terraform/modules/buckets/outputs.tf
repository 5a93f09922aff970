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
