output "name" {
  description = "Name of the cluster."
  value       = aws_eks_cluster.this.name
}

output "arn" {
  description = "ARN of the cluster."
  value       = aws_eks_cluster.this.arn
}

output "endpoint" {
  description = "URL of the Kubernetes API."
  value       = aws_eks_cluster.this.endpoint
}

output "security_group_id" {
  description = "Security group of all nodes, made by EKS."
  value       = aws_eks_cluster.this.vpc_config[0].cluster_security_group_id
}

# The rest is for tests.

output "cluster" {
  description = "The cluster."
  value       = aws_eks_cluster.this
}

output "node_group" {
  description = "The system's nodes."
  value       = aws_eks_node_group.system
}

output "launch_template" {
  description = "How the system's nodes are launched."
  value       = aws_launch_template.system
}
