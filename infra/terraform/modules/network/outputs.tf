output "vpc_id" {
  description = "The VPC."
  value       = aws_vpc.this.id
}

output "private_subnet_ids" {
  description = "One private subnet in each of three zones."
  value       = aws_subnet.private[*].id
}

output "s3_endpoint" {
  description = "The way to S3 (for tests)."
  value       = aws_vpc_endpoint.s3
}
