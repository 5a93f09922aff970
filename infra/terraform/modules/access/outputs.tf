output "role_arns" {
  description = "ARN of each role."
  value       = { for name, role in aws_iam_role.this : name => role.arn }
}

output "policies" {
  description = "Statements of each role's policy."
  value       = local.policies
}

output "trust" {
  description = "Who may take each role."
  value       = { for name, role in aws_iam_role.this : name => role.assume_role_policy }
}
