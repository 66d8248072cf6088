# The Fargate service: nginx in front of TorchServe in one task, behind an internal load balancer.

locals {
  images = {
    gateway    = "${aws_ecr_repository.this["gateway"].repository_url}:${var.release}"
    torchserve = "${aws_ecr_repository.this["torchserve"].repository_url}:${var.release}"
  }
  containers = ["gateway", "torchserve"]

  # ECS takes a task out of the load balancer before it stops the containers, the gateway first, which
  # then answers what is in flight. What is left is killed; Fargate allows 120 s.
  stop_s = min(120, var.limits.gateway.drain_s + 10)

  # tmpfs does not exist on Fargate: with a read-only root, what must be written goes to a volume that
  # lives as long as the task.
  scratch = "scratch"

  # TorchServe's launcher keeps it while a worker is ready, and nginx looks for it.
  ready_file = "/tmp/ready"

  # Where nginx believes the client-address header: only the load balancer's subnets.
  trusted_proxies = join(",", var.private_cidrs)

  common = {
    essential              = true
    readonlyRootFilesystem = true
    user                   = "10001:10001"
    privileged             = false
    linuxParameters        = { capabilities = { drop = ["ALL"], add = [] }, initProcessEnabled = false }
    mountPoints            = [{ sourceVolume = local.scratch, containerPath = "/tmp", readOnly = false }]
    stopTimeout            = local.stop_s
    systemControls         = []
    volumesFrom            = []
  }
}

# ------------------------------------------------------------ images

resource "aws_ecr_repository" "this" {
  for_each = toset(local.containers)

  name                 = "${var.name}/${each.key}"
  image_tag_mutability = "IMMUTABLE"
  force_delete         = var.force_destroy

  image_scanning_configuration {
    scan_on_push = true
  }

  encryption_configuration {
    encryption_type = "AES256"
  }
}

resource "aws_ecr_lifecycle_policy" "this" {
  for_each = aws_ecr_repository.this

  repository = each.value.name
  policy = jsonencode({
    rules = [
      {
        rulePriority = 1
        description  = "untagged images are failed pushes"
        selection = {
          tagStatus   = "untagged"
          countType   = "sinceImagePushed"
          countUnit   = "days"
          countNumber = 7
        }
        action = { type = "expire" }
      },
      {
        rulePriority = 2
        description  = "as many releases as a rollback may want"
        selection = {
          tagStatus   = "any"
          countType   = "imageCountMoreThan"
          countNumber = var.images_kept
        }
        action = { type = "expire" }
      },
    ]
  })
}

# ------------------------------------------------------------ task

resource "aws_cloudwatch_log_group" "this" {
  for_each = toset(local.containers)

  name              = "/${var.name}/${each.key}"
  retention_in_days = var.log_days
}

resource "aws_ecs_task_definition" "this" {
  family                   = var.name
  requires_compatibilities = ["FARGATE"]
  network_mode             = "awsvpc"
  cpu                      = var.task.cpu
  memory                   = var.task.memory
  execution_role_arn       = aws_iam_role.execution.arn
  task_role_arn            = aws_iam_role.task.arn

  runtime_platform {
    operating_system_family = "LINUX"
    cpu_architecture        = "X86_64"
  }

  volume {
    name = local.scratch
  }

  container_definitions = jsonencode([
    merge(local.common, {
      name  = "torchserve"
      image = local.images.torchserve
      environment = [for key, value in merge(
        {
          WORKERS            = tostring(max(1, floor(var.task.cpu / 1024)))
          JOB_QUEUE_SIZE     = tostring(var.limits.torchserve.waiting_requests)
          READY_FILE         = local.ready_file
          AWS_DEFAULT_REGION = var.region
        },
        var.model.path == "" ? {} : { MODEL_PATH = var.model.path, MODEL_SHA256 = var.model.sha256 },
      ) : { name = key, value = value }]
      portMappings = []
      # READY workers, not /ping: TorchServe calls itself healthy before it can answer, and after it
      # no longer can.
      healthCheck = {
        command     = ["CMD", "python", "-m", "infrastructure.healthcheck", "8083"]
        interval    = 10
        timeout     = 5
        retries     = 3
        startPeriod = 60
      }
      logConfiguration = local.logs["torchserve"]
    }),
    merge(local.common, {
      name      = "gateway"
      image     = local.images.gateway
      dependsOn = [{ containerName = "torchserve", condition = "HEALTHY" }]
      environment = [for key, value in {
        BIND_ADDRESS          = "0.0.0.0"
        GATEWAY_PORT          = tostring(var.port)
        TRUSTED_PROXIES       = local.trusted_proxies
        CLIENT_ADDRESS_HEADER = var.client_address_header
        READY_FILE            = local.ready_file
      } : { name = key, value = value }]
      portMappings = [{ containerPort = var.port, hostPort = var.port, protocol = "tcp" }]
      healthCheck = {
        command     = ["CMD", "python", "-m", "infrastructure.healthcheck", tostring(var.port)]
        interval    = 10
        timeout     = 5
        retries     = 3
        startPeriod = 10
      }
      logConfiguration = local.logs["gateway"]
    }),
  ])

  lifecycle {
    precondition {
      condition     = var.model.path == "" || can(regex("^[0-9a-f]{64}$", var.model.sha256))
      error_message = "An archive in S3 needs its checksum: set model.sha256 to its sha256."
    }
  }
}

locals {
  logs = {
    for container in local.containers : container => {
      logDriver = "awslogs"
      options = {
        awslogs-group         = aws_cloudwatch_log_group.this[container].name
        awslogs-region        = var.region
        awslogs-stream-prefix = "task"
      }
    }
  }
}

# ------------------------------------------------------------ load balancer

resource "aws_security_group" "alb" {
  name_prefix = "${var.name}-alb-"
  description = "Internal load balancer"
  vpc_id      = var.vpc_id

  tags = { Name = "${var.name}-alb" }

  lifecycle {
    create_before_destroy = true
  }
}

resource "aws_security_group" "task" {
  name_prefix = "${var.name}-task-"
  description = "Tasks of the service"
  vpc_id      = var.vpc_id

  tags = { Name = "${var.name}-task" }

  lifecycle {
    create_before_destroy = true
  }
}

resource "aws_vpc_security_group_egress_rule" "alb_to_task" {
  security_group_id            = aws_security_group.alb.id
  description                  = "Requests and health checks to the tasks"
  referenced_security_group_id = aws_security_group.task.id
  ip_protocol                  = "tcp"
  from_port                    = var.port
  to_port                      = var.port
}

resource "aws_vpc_security_group_ingress_rule" "task_from_alb" {
  security_group_id            = aws_security_group.task.id
  description                  = "From the load balancer only"
  referenced_security_group_id = aws_security_group.alb.id
  ip_protocol                  = "tcp"
  from_port                    = var.port
  to_port                      = var.port
}

resource "aws_vpc_security_group_egress_rule" "task" {
  security_group_id = aws_security_group.task.id
  description       = "HTTPS to the registry, S3 and CloudWatch"
  cidr_ipv4         = "0.0.0.0/0"
  ip_protocol       = "tcp"
  from_port         = 443
  to_port           = 443
}

resource "aws_lb" "this" {
  name_prefix                = var.load_balancer_prefix
  internal                   = true
  load_balancer_type         = "application"
  security_groups            = [aws_security_group.alb.id]
  subnets                    = var.private_subnet_ids
  drop_invalid_header_fields = true
  enable_deletion_protection = var.deletion_protection
  # Longer than nginx takes for the slowest answer, so that nginx's 503 reaches the client.
  idle_timeout = var.limits.gateway.answer_timeout_s + 10

  tags = { Name = var.name }
}

resource "aws_lb_target_group" "this" {
  # A fixed name could not be replaced while the listener uses it.
  name_prefix          = var.load_balancer_prefix
  vpc_id               = var.vpc_id
  target_type          = "ip"
  protocol             = "HTTP"
  port                 = var.port
  deregistration_delay = var.deregistration_s

  health_check {
    path                = "/health"
    protocol            = "HTTP"
    port                = "traffic-port"
    matcher             = "200"
    interval            = 10
    timeout             = 5
    healthy_threshold   = 2
    unhealthy_threshold = 3
  }

  tags = { Name = var.name }

  lifecycle {
    create_before_destroy = true
  }
}

resource "aws_lb_listener" "this" {
  load_balancer_arn = aws_lb.this.arn
  protocol          = "HTTP"
  port              = 80

  default_action {
    type             = "forward"
    target_group_arn = aws_lb_target_group.this.arn
  }
}

# ------------------------------------------------------------ service

resource "aws_ecs_cluster" "this" {
  name = var.name

  setting {
    name  = "containerInsights"
    value = "enabled"
  }
}

resource "aws_ecs_service" "this" {
  name             = var.name
  cluster          = aws_ecs_cluster.this.id
  task_definition  = aws_ecs_task_definition.this.arn
  desired_count    = var.tasks.min
  launch_type      = "FARGATE"
  platform_version = "LATEST"

  deployment_minimum_healthy_percent = 100
  deployment_maximum_percent         = 200
  health_check_grace_period_seconds  = 90
  enable_ecs_managed_tags            = true
  propagate_tags                     = "SERVICE"

  deployment_circuit_breaker {
    enable   = true
    rollback = true
  }

  network_configuration {
    subnets          = var.private_subnet_ids
    security_groups  = [aws_security_group.task.id]
    assign_public_ip = false
  }

  load_balancer {
    target_group_arn = aws_lb_target_group.this.arn
    container_name   = "gateway"
    container_port   = var.port
  }

  lifecycle {
    # Autoscaling owns the number of tasks, `make deploy` which task definition they run.
    ignore_changes = [desired_count, task_definition]
  }

  depends_on = [aws_lb_listener.this, aws_iam_role_policy.execution]
}

resource "aws_appautoscaling_target" "this" {
  service_namespace  = "ecs"
  scalable_dimension = "ecs:service:DesiredCount"
  resource_id        = "service/${aws_ecs_cluster.this.name}/${aws_ecs_service.this.name}"
  min_capacity       = var.tasks.min
  max_capacity       = var.tasks.max
}

resource "aws_appautoscaling_policy" "cpu" {
  name               = "${var.name}-cpu"
  policy_type        = "TargetTrackingScaling"
  service_namespace  = aws_appautoscaling_target.this.service_namespace
  scalable_dimension = aws_appautoscaling_target.this.scalable_dimension
  resource_id        = aws_appautoscaling_target.this.resource_id

  target_tracking_scaling_policy_configuration {
    target_value       = var.tasks.cpu_percent
    scale_out_cooldown = 60
    scale_in_cooldown  = 300

    predefined_metric_specification {
      predefined_metric_type = "ECSServiceAverageCPUUtilization"
    }
  }
}

resource "aws_appautoscaling_policy" "requests" {
  name               = "${var.name}-requests"
  policy_type        = "TargetTrackingScaling"
  service_namespace  = aws_appautoscaling_target.this.service_namespace
  scalable_dimension = aws_appautoscaling_target.this.scalable_dimension
  resource_id        = aws_appautoscaling_target.this.resource_id

  target_tracking_scaling_policy_configuration {
    target_value       = var.tasks.requests_per_min
    scale_out_cooldown = 60
    scale_in_cooldown  = 300

    predefined_metric_specification {
      predefined_metric_type = "ALBRequestCountPerTarget"
      resource_label         = "${aws_lb.this.arn_suffix}/${aws_lb_target_group.this.arn_suffix}"
    }
  }
}

# ------------------------------------------------------------ roles

locals {
  assumed_by_tasks = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Effect    = "Allow"
      Principal = { Service = "ecs-tasks.amazonaws.com" }
      Action    = "sts:AssumeRole"
    }]
  })
}

# What ECS needs to start a task: these images, these logs. AWS's managed policy would allow all of them.
resource "aws_iam_role" "execution" {
  name               = "${var.name}-execution"
  assume_role_policy = local.assumed_by_tasks
}

resource "aws_iam_role_policy" "execution" {
  name = "start-tasks"
  role = aws_iam_role.execution.id
  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [
      {
        Sid    = "PullImages"
        Effect = "Allow"
        Action = [
          "ecr:BatchCheckLayerAvailability",
          "ecr:BatchGetImage",
          "ecr:GetDownloadUrlForLayer",
        ]
        Resource = [for repository in aws_ecr_repository.this : repository.arn]
      },
      {
        # The one action of ECR that knows no resource.
        Sid      = "RegistryLogin"
        Effect   = "Allow"
        Action   = "ecr:GetAuthorizationToken"
        Resource = "*"
      },
      {
        Sid      = "WriteLogs"
        Effect   = "Allow"
        Action   = ["logs:CreateLogStream", "logs:PutLogEvents"]
        Resource = [for group in aws_cloudwatch_log_group.this : "${group.arn}:*"]
      },
    ]
  })
}

# What the containers may do: read a released archive, where MODEL_PATH names one.
resource "aws_iam_role" "task" {
  name               = "${var.name}-task"
  assume_role_policy = local.assumed_by_tasks
}

resource "aws_iam_role_policy" "task" {
  name = "read-models"
  role = aws_iam_role.task.id
  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Effect   = "Allow"
      Action   = "s3:GetObject"
      Resource = "${var.bucket_arn}/models/*"
    }]
  })
}
