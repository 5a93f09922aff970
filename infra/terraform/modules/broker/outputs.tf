output "host" {
  description = "Host of the broker, for AMQP (port 5671) and the management API (port 443), both with TLS."
  value       = trimsuffix(trimprefix(aws_mq_broker.this.instances[0].console_url, "https://"), "/")
}
