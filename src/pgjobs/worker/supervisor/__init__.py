"""The parent process: starts and replaces workers, sends heartbeats, rescues, retains, fires schedules."""
