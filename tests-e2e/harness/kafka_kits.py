"""The kits for Kafka, as far as they are the same for every client; the test file says how a message is sent or read."""

from __future__ import annotations

from typing import Any

import pytest

from clew.testing import ConsumerKit, ProducerKit


class KafkaSending(ProducerKit):
    """The fixture `orders` is the file's own topic."""

    component = "Kafka"
    system = "kafka"
    takes_options = True

    @pytest.fixture(autouse=True)
    def use(self, orders: Any) -> None:
        self.orders = orders
        type(self).span_name = f"send {orders.topic}"


class KafkaHandling(ConsumerKit):
    """As `KafkaSending`."""

    component = "Kafka"
    system = "kafka"
    takes_options = True
    sees_repeated_headers = True

    @pytest.fixture(autouse=True)
    def use(self, orders: Any) -> None:
        self.orders = orders
        type(self).span_name = f"process {orders.topic}"
