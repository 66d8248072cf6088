# Arguments that the provider checks for being ARNs get something that looks like one.
mock_resource "aws_lb" {
  defaults = {
    arn = "arn:aws:elasticloadbalancing:us-west-2:123456789012:loadbalancer/net/mock/0123456789abcdef"
  }
}
