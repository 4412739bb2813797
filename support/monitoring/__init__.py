"""What operators see: latency, cost and load; health for probes; metrics."""
