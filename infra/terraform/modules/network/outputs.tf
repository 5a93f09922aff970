output "vpc_id" {
  description = "The VPC."
  value       = aws_vpc.this.id
}

output "private_subnet_ids" {
  description = "One private subnet in each of three zones."
  value       = aws_subnet.private[*].id
}
