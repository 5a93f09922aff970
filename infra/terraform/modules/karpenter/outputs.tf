output "node_role_name" {
  description = "Role of Karpenter's nodes, for the EC2NodeClass."
  value       = aws_iam_role.node.name
}

output "queue_name" {
  description = "Queue of interruptions, for Karpenter's settings."
  value       = aws_sqs_queue.interruptions.name
}

output "controller_policies" {
  description = "Statements of the controller's policies."
  value       = local.controller_policies
}
