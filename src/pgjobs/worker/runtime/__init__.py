"""What a worker process stands on: connections that reconnect, the control channel, the scoreboard, registration."""
