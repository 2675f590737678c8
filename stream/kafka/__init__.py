"""Kafka by librdkafka: the brokers asked, the log read, offsets, topics, state topics, dead letters.

Enters: the settings' `kafka` section and names of topics. Leaves: messages, offsets, the state of groups and topics. It
never decides what a message means, and it never commits an offset on its own.
"""
