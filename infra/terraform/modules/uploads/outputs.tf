output "queue_arn" {
  description = "Queue to which a bucket announces uploads."
  value       = aws_sqs_queue.this.arn
}

output "secret_arn" {
  description = "Secret for the forwarder's user."
  value       = aws_secretsmanager_secret.this.arn
}

output "security_group_id" {
  description = "Security group of the function, which the broker lets in."
  value       = aws_security_group.this.id
}

output "statements" {
  description = "Statements of the function's policy."
  value       = local.statements
}

# The rest is for tests.

output "notification" {
  description = "Notifications of the bucket."
  value       = aws_s3_bucket_notification.this
}

output "queue" {
  description = "The queue."
  value       = aws_sqs_queue.this
}

output "queue_policy" {
  description = "Who may send to the queue."
  value       = aws_sqs_queue_policy.this.policy
}

output "function" {
  description = "The function."
  value       = aws_lambda_function.this
}
