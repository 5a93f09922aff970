# RabbitMQ as a service, reachable only from the cluster. Quorum queues, which Scriptorium declares, need version
# 3.13 or 4.2 there; a single instance has them as well, with one replica.

locals {
  is_cluster = var.deployment == "CLUSTER_MULTI_AZ"
}

resource "aws_security_group" "this" {
  name        = "${var.name}-broker"
  description = "RabbitMQ of ${var.name}"
  vpc_id      = var.vpc_id
}

resource "aws_vpc_security_group_ingress_rule" "this" {
  # By name and port, because the identifiers of the groups are not known before they exist.
  for_each = merge([
    for client, group in var.client_security_groups : {
      "${client}-amqps" = { group = group, port = 5671, what = "AMQP over TLS" }
      "${client}-https" = { group = group, port = 443, what = "management API" }
    }
  ]...)
  security_group_id            = aws_security_group.this.id
  referenced_security_group_id = each.value.group
  ip_protocol                  = "tcp"
  from_port                    = each.value.port
  to_port                      = each.value.port
  description                  = "${each.value.what} from ${each.key}"
}

resource "aws_mq_broker" "this" {
  #checkov:skip=CKV_AWS_48:Amazon MQ has audit logs for ActiveMQ only; general logs are on
  #checkov:skip=CKV_AWS_209:Keys of one's own do not exist for RabbitMQ; it is always encrypted with a key of the service
  broker_name                = var.name
  engine_type                = "RabbitMQ"
  engine_version             = var.engine_version
  host_instance_type         = var.instance_type
  deployment_mode            = var.deployment
  publicly_accessible        = false
  subnet_ids                 = slice(var.subnet_ids, 0, local.is_cluster ? 3 : 1)
  security_groups            = [aws_security_group.this.id]
  auto_minor_version_upgrade = true

  # Amazon MQ wants a first user here, and Terraform keeps its password in the state. So it is a password for one
  # hour: README.md has the step that makes the real users and replaces it. A change here would replace the broker.
  user {
    username = "bootstrap"
    password = var.bootstrap_password
  }

  logs {
    general = true
  }

  maintenance_window_start_time {
    day_of_week = "SUNDAY"
    time_of_day = "03:00"
    time_zone   = "UTC"
  }

  lifecycle {
    ignore_changes = [user]
  }
}
