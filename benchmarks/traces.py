"""What traces cost: deliveries that a collector is told of, against those that nobody traces."""

from sqlalchemy.engine import URL

from benchmarks import programs
from benchmarks.deliveries import deliver
from benchmarks.results import Row, at_least, ratios
from benchmarks.server import fresh_database
from benchmarks.sizes import Sizes

QUESTION = "deliveries/s with traces that a collector gets, against those without"


async def measure(server: URL, sizes: Sizes) -> list[Row]:
    in_flight = max(sizes.in_flight)
    plain, traced = [], []
    for _ in range(sizes.repetitions):
        async with fresh_database(server) as url:
            plain.append((await deliver(url, sizes.deliveries, in_flight)).rate)
        async with fresh_database(server) as url, programs.receiver() as collector:
            variables = {"OTEL_EXPORTER_OTLP_ENDPOINT": f"http://127.0.0.1:{collector}"}
            traced.append((await deliver(url, sizes.deliveries, in_flight, variables)).rate)
    return [
        Row("without traces", plain, "deliveries/s"),
        Row("with traces", traced, "deliveries/s"),
        Row("with traces ÷ without", ratios(traced, plain), "", sizes.judged(at_least(0.8))),
    ]
