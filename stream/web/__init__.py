"""What a process tells over HTTP: metrics, health, its own state, runbooks and the dashboard; and the client for that.

Enters: functions that report the state of the process. Leaves: answers to GET. It changes nothing and opens no store.
"""
