# Training on spot GPUs: AWS Batch starts a machine for a job, retries it when the machine is taken away,
# and stops paying when the queue is empty.
#
# A job that is interrupted writes a checkpoint to S3 and exits with 75; the next attempt goes on from it.

resource "aws_ecr_repository" "this" {
  name                 = "${var.name}/training"
  image_tag_mutability = "IMMUTABLE"
  force_delete         = var.force_destroy

  image_scanning_configuration {
    scan_on_push = true
  }
}

resource "aws_ecr_lifecycle_policy" "this" {
  repository = aws_ecr_repository.this.name
  policy = jsonencode({
    rules = [{
      rulePriority = 1
      description  = "the images of the last trainings"
      selection    = { tagStatus = "any", countType = "imageCountMoreThan", countNumber = var.images_kept }
      action       = { type = "expire" }
    }]
  })
}

resource "aws_cloudwatch_log_group" "this" {
  name              = "/${var.name}/training"
  retention_in_days = var.log_days
}

# ------------------------------------------------------------ machines

resource "aws_security_group" "this" {
  name_prefix = "${var.name}-training-"
  description = "Training machines: nothing comes in"
  vpc_id      = var.vpc_id

  tags = { Name = "${var.name}-training" }

  lifecycle {
    create_before_destroy = true
  }
}

resource "aws_vpc_security_group_egress_rule" "this" {
  security_group_id = aws_security_group.this.id
  description       = "HTTPS to the registry, S3, CloudWatch and the sources of the data"
  cidr_ipv4         = "0.0.0.0/0"
  ip_protocol       = "tcp"
  from_port         = 443
  to_port           = 443
}

resource "aws_launch_template" "this" {
  name_prefix = "${var.name}-training-"

  # The spot notice is read from inside the container, which is one hop from the machine.
  metadata_options {
    http_endpoint               = "enabled"
    http_tokens                 = "required"
    http_put_response_hop_limit = 2
  }

  block_device_mappings {
    device_name = "/dev/xvda"

    ebs {
      volume_type           = "gp3"
      volume_size           = var.disk_gib
      encrypted             = true
      delete_on_termination = true
    }
  }

  tag_specifications {
    resource_type = "instance"
    tags          = { Name = "${var.name}-training" }
  }
}

resource "aws_batch_compute_environment" "this" {
  for_each = var.sizes

  type  = "MANAGED"
  state = "ENABLED"

  compute_resources {
    type                = "SPOT"
    allocation_strategy = "SPOT_PRICE_CAPACITY_OPTIMIZED"
    bid_percentage      = var.bid_percent
    instance_role       = aws_iam_instance_profile.machine.arn
    instance_type       = each.value.instance_types
    # Nothing runs, and nothing is paid, while the queue is empty.
    min_vcpus          = 0
    max_vcpus          = each.value.vcpus * var.machines
    subnets            = var.private_subnet_ids
    security_group_ids = [aws_security_group.this.id]

    ec2_configuration {
      image_type = "ECS_AL2023_NVIDIA"
    }

    launch_template {
      launch_template_id = aws_launch_template.this.id
      version            = aws_launch_template.this.latest_version
    }
  }

  lifecycle {
    create_before_destroy = true
    precondition {
      condition     = length(each.value.instance_types) > 0
      error_message = "Training size ${each.key} names no instance type."
    }
  }

  depends_on = [aws_iam_role_policy_attachment.machine]
}

resource "aws_batch_job_queue" "this" {
  for_each = var.sizes

  name     = "${var.name}-${each.key}"
  state    = "ENABLED"
  priority = 1

  compute_environment_order {
    order               = 1
    compute_environment = aws_batch_compute_environment.this[each.key].arn
  }
}

resource "aws_batch_job_definition" "this" {
  for_each = var.sizes

  name                  = "${var.name}-${each.key}"
  type                  = "container"
  platform_capabilities = ["EC2"]
  propagate_tags        = true

  container_properties = jsonencode({
    image      = "${aws_ecr_repository.this.repository_url}:${var.release}"
    jobRoleArn = aws_iam_role.job.arn
    # The image runs infrastructure/job.sh, which makes `data` and `train` with these variables and those
    # that the job is submitted with: SETS, EPOCHS, RECIPE, CHECKPOINTS.
    environment = [
      { name = "AWS_DEFAULT_REGION", value = var.region },
      { name = "DRAFTS_URL", value = "s3://${var.bucket}/data/17lands" },
      { name = "GPUS", value = tostring(each.value.gpus) },
      { name = "CARDS_URL", value = "s3://${var.bucket}/data/cards" },
    ]
    resourceRequirements = [
      { type = "VCPU", value = tostring(each.value.vcpus) },
      { type = "MEMORY", value = tostring(each.value.memory) },
      { type = "GPU", value = tostring(each.value.gpus) },
    ]
    linuxParameters = { sharedMemorySize = 1024 }
    logConfiguration = {
      logDriver = "awslogs"
      options = {
        awslogs-group         = aws_cloudwatch_log_group.this.name
        awslogs-region        = var.region
        awslogs-stream-prefix = each.key
      }
    }
  })

  # A machine that was taken away, and a job that saw it coming, are tried again; a job that failed by
  # itself would fail again and be paid again.
  retry_strategy {
    attempts = var.attempts

    evaluate_on_exit {
      action           = "RETRY"
      on_status_reason = "Host EC2*"
    }

    evaluate_on_exit {
      action       = "RETRY"
      on_exit_code = "75"
    }

    evaluate_on_exit {
      action    = "EXIT"
      on_reason = "*"
    }
  }

  # Of one attempt.
  timeout {
    attempt_duration_seconds = var.timeout_s
  }
}

# ------------------------------------------------------------ roles

resource "aws_iam_role" "machine" {
  name = "${var.name}-training-machine"
  assume_role_policy = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Effect    = "Allow"
      Principal = { Service = "ec2.amazonaws.com" }
      Action    = "sts:AssumeRole"
    }]
  })
}

# What the ECS agent on a Batch machine needs; AWS keeps the list.
resource "aws_iam_role_policy_attachment" "machine" {
  role       = aws_iam_role.machine.name
  policy_arn = "arn:aws:iam::aws:policy/service-role/AmazonEC2ContainerServiceforEC2Role"
}

resource "aws_iam_instance_profile" "machine" {
  name = "${var.name}-training-machine"
  role = aws_iam_role.machine.name
}

resource "aws_iam_role" "job" {
  name = "${var.name}-training-job"
  assume_role_policy = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Effect    = "Allow"
      Principal = { Service = "ecs-tasks.amazonaws.com" }
      Action    = "sts:AssumeRole"
    }]
  })
}

resource "aws_iam_role_policy" "job" {
  name = "data-and-checkpoints"
  role = aws_iam_role.job.id
  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [
      {
        Sid       = "List"
        Effect    = "Allow"
        Action    = "s3:ListBucket"
        Resource  = var.bucket_arn
        Condition = { StringLike = { "s3:prefix" = ["data/*", "checkpoints/*"] } }
      },
      {
        Sid      = "ReadData"
        Effect   = "Allow"
        Action   = "s3:GetObject"
        Resource = "${var.bucket_arn}/data/*"
      },
      {
        Sid      = "Checkpoints"
        Effect   = "Allow"
        Action   = ["s3:GetObject", "s3:PutObject", "s3:DeleteObject"]
        Resource = "${var.bucket_arn}/checkpoints/*"
      },
    ]
  })
}
