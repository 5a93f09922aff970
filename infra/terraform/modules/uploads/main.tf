# Uploads become transcripts: S3 tells a queue of each new recording, and a function publishes S3's notification, as
# it is, to the exchange <prefix>.uploads of RabbitMQ, from which `scriptorium bridge` gets it.
#
#   S3 --> SQS --> Lambda --> RabbitMQ --> bridge
#
# S3 and EventBridge cannot publish to RabbitMQ: Amazon MQ may be a source of EventBridge's pipes, and no target. The
# function publishes through the management API, whose answer says whether the message was confirmed and reached a
# queue, and so needs nothing but Python's standard library. That costs a connection for each message, which is
# nothing beside an upload. What cannot be delivered stays in SQS and comes again.

data "aws_caller_identity" "current" {}
data "aws_partition" "current" {}
data "aws_region" "current" {}

locals {
  function = "${var.name}-uploads"
  logs     = "arn:${data.aws_partition.current.partition}:logs:${data.aws_region.current.name}:${data.aws_caller_identity.current.account_id}"
  # A try of the function; messages stay hidden for six of them, as AWS advises.
  timeout = 30
}

resource "aws_sqs_queue" "dead" {
  name                      = "${var.name}-uploads-dead"
  message_retention_seconds = 14 * 24 * 3600
  sqs_managed_sse_enabled   = true
}

resource "aws_sqs_queue" "this" {
  name                       = "${var.name}-uploads"
  message_retention_seconds  = 14 * 24 * 3600
  visibility_timeout_seconds = 6 * local.timeout
  sqs_managed_sse_enabled    = true

  # 240 tries, three minutes apart: a broker may be away for half a day.
  redrive_policy = jsonencode({ deadLetterTargetArn = aws_sqs_queue.dead.arn, maxReceiveCount = 240 })
}

resource "aws_sqs_queue_policy" "this" {
  queue_url = aws_sqs_queue.this.url
  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [
      {
        Sid       = "TheBucketMaySend"
        Effect    = "Allow"
        Principal = { Service = "s3.amazonaws.com" }
        Action    = "sqs:SendMessage"
        Resource  = aws_sqs_queue.this.arn
        Condition = {
          ArnEquals    = { "aws:SourceArn" = var.recordings_arn }
          StringEquals = { "aws:SourceAccount" = data.aws_caller_identity.current.account_id }
        }
      },
      {
        Sid       = "OnlyWithTls"
        Effect    = "Deny"
        Principal = "*"
        Action    = "sqs:*"
        Resource  = aws_sqs_queue.this.arn
        Condition = { Bool = { "aws:SecureTransport" = "false" } }
      },
    ]
  })
}

# A bucket has one such resource, which replaces all notifications that it had. So a bucket that existed before is
# left alone (README.md says what to add to it).
resource "aws_s3_bucket_notification" "this" {
  count  = var.notify ? 1 : 0
  bucket = var.recordings_id

  dynamic "queue" {
    for_each = var.prefixes
    content {
      queue_arn     = aws_sqs_queue.this.arn
      events        = ["s3:ObjectCreated:*"]
      filter_prefix = queue.value
    }
  }

  depends_on = [aws_sqs_queue_policy.this]
}

# Made empty: README.md has the step that makes the user and puts its password here, so the state does not have it.
resource "aws_secretsmanager_secret" "this" {
  #checkov:skip=CKV2_AWS_57:Rotating it means changing the user in RabbitMQ as well, which AWS cannot do
  name        = "${var.name}/uploads"
  description = "User of the forwarder of uploads in RabbitMQ: {\"username\": ..., \"password\": ...}"
  kms_key_id  = var.kms_key_arn
}

resource "aws_security_group" "this" {
  name        = local.function
  description = "Forwarder of uploads of ${var.name}"
  vpc_id      = var.vpc_id
}

resource "aws_vpc_security_group_egress_rule" "this" {
  security_group_id = aws_security_group.this.id
  ip_protocol       = "tcp"
  from_port         = 443
  to_port           = 443
  cidr_ipv4         = "0.0.0.0/0"
  description       = "Broker and Secrets Manager"
}

resource "aws_cloudwatch_log_group" "this" {
  #checkov:skip=CKV_AWS_158:Encrypted with the key of CloudWatch; the function logs numbers and errors, no contents
  #checkov:skip=CKV_AWS_338:The variable log_days decides
  name              = "/aws/lambda/${local.function}"
  retention_in_days = var.log_days
}

resource "aws_iam_role" "this" {
  name = local.function
  assume_role_policy = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Effect    = "Allow"
      Principal = { Service = "lambda.amazonaws.com" }
      Action    = "sts:AssumeRole"
    }]
  })
}

locals {
  statements = [
    {
      Sid      = "TakeNotifications"
      Effect   = "Allow"
      Action   = ["sqs:ReceiveMessage", "sqs:DeleteMessage", "sqs:GetQueueAttributes"]
      Resource = aws_sqs_queue.this.arn
    },
    {
      Sid      = "ReadThePassword"
      Effect   = "Allow"
      Action   = "secretsmanager:GetSecretValue"
      Resource = aws_secretsmanager_secret.this.arn
    },
    {
      Sid       = "DecryptThePassword"
      Effect    = "Allow"
      Action    = "kms:Decrypt"
      Resource  = var.kms_key_arn
      Condition = { StringLike = { "kms:ViaService" = "secretsmanager.*.amazonaws.com" } }
    },
    {
      Sid      = "Log"
      Effect   = "Allow"
      Action   = ["logs:CreateLogStream", "logs:PutLogEvents"]
      Resource = "${local.logs}:log-group:/aws/lambda/${local.function}:*"
    },
    {
      # Lambda needs these to put a function into a VPC, for all resources.
      Sid    = "JoinTheVpc"
      Effect = "Allow"
      Action = [
        "ec2:CreateNetworkInterface", "ec2:DescribeNetworkInterfaces", "ec2:DescribeSubnets",
        "ec2:DeleteNetworkInterface", "ec2:AssignPrivateIpAddresses", "ec2:UnassignPrivateIpAddresses",
      ]
      Resource = "*"
    },
  ]
}

resource "aws_iam_role_policy" "this" {
  #checkov:skip=CKV_AWS_355:Lambda creates network interfaces only with a permission for all resources
  #checkov:skip=CKV_AWS_290:The same
  name   = "uploads"
  role   = aws_iam_role.this.id
  policy = jsonencode({ Version = "2012-10-17", Statement = local.statements })
}

resource "aws_lambda_function" "this" {
  #checkov:skip=CKV_AWS_116:Its events come from SQS, which has the queue of dead letters
  #checkov:skip=CKV_AWS_272:Signing would need a profile and a bucket for one file of this repository
  #checkov:skip=CKV_AWS_50:One request out for one in: its logs and the age of the queue say all that traces would
  #checkov:skip=CKV_AWS_115:The scaling of its event source bounds it; reserving takes capacity from the account
  #checkov:skip=CKV_AWS_173:No variable is secret
  function_name    = local.function
  role             = aws_iam_role.this.arn
  filename         = "${path.module}/forwarder.zip"
  source_code_hash = filebase64sha256("${path.module}/forwarder.zip")
  runtime          = "python3.13"
  architectures    = ["arm64"]
  handler          = "forwarder.handler"
  timeout          = local.timeout
  memory_size      = 128

  environment {
    variables = {
      BROKER_URL   = "https://${var.broker_host}"
      VIRTUAL_HOST = "/"
      EXCHANGE     = "${var.queue_prefix}.uploads"
      SECRET       = aws_secretsmanager_secret.this.arn
    }
  }

  vpc_config {
    subnet_ids         = var.subnet_ids
    security_group_ids = [aws_security_group.this.id]
  }

  depends_on = [aws_cloudwatch_log_group.this, aws_iam_role_policy.this]
}

resource "aws_lambda_event_source_mapping" "this" {
  event_source_arn = aws_sqs_queue.this.arn
  function_name    = aws_lambda_function.this.arn
  batch_size       = 10
  # What could not be published comes again, alone.
  function_response_types = ["ReportBatchItemFailures"]

  scaling_config {
    maximum_concurrency = 4
  }
}

resource "aws_cloudwatch_metric_alarm" "dead" {
  alarm_name          = "${var.name}-uploads-dead"
  alarm_description   = "Notifications of uploads were given up. Find out why, then: aws sqs start-message-move-task --source-arn ${aws_sqs_queue.dead.arn}"
  namespace           = "AWS/SQS"
  metric_name         = "ApproximateNumberOfMessagesVisible"
  dimensions          = { QueueName = aws_sqs_queue.dead.name }
  statistic           = "Maximum"
  comparison_operator = "GreaterThanThreshold"
  threshold           = 0
  period              = 300
  evaluation_periods  = 1
  treat_missing_data  = "notBreaching"
  alarm_actions       = var.alarm_actions
}

resource "aws_cloudwatch_metric_alarm" "age" {
  alarm_name          = "${var.name}-uploads-age"
  alarm_description   = "Uploads wait for longer than 15 minutes for RabbitMQ: look at the logs of ${local.function}"
  namespace           = "AWS/SQS"
  metric_name         = "ApproximateAgeOfOldestMessage"
  dimensions          = { QueueName = aws_sqs_queue.this.name }
  statistic           = "Maximum"
  comparison_operator = "GreaterThanThreshold"
  threshold           = 900
  period              = 300
  evaluation_periods  = 1
  treat_missing_data  = "notBreaching"
  alarm_actions       = var.alarm_actions
}
