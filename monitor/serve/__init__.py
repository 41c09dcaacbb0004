"""What the process shows of itself: metrics, health, an API and the operator page."""
