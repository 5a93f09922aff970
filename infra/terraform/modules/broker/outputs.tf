output "host" {
  description = "Host of the broker, for AMQP (port 5671) and the management API (port 443), both with TLS."
  value       = trimsuffix(trimprefix(aws_mq_broker.this.instances[0].console_url, "https://"), "/")
}

# The rest is for tests.

output "broker" {
  description = "The broker, without its users."
  value = {
    publicly_accessible = aws_mq_broker.this.publicly_accessible
    engine_version      = aws_mq_broker.this.engine_version
    deployment_mode     = aws_mq_broker.this.deployment_mode
    subnet_ids          = aws_mq_broker.this.subnet_ids
  }
}

output "ingress" {
  description = "Who may connect."
  value       = aws_vpc_security_group_ingress_rule.this
}
