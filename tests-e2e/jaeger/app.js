// Two services that trace with jaeger-client: udp|http ADDRESS FRONT BACK START_US; prints the trace id.
const { initTracer } = require("jaeger-client");
const { FORMAT_HTTP_HEADERS } = require("opentracing");

const [how, address, front, back, startUs] = process.argv.slice(2);
const at = (us) => Number(startUs) / 1000 + us / 1000;

function tracerOf(serviceName) {
  const reporter =
    how === "http"
      ? { collectorEndpoint: `${address}/api/traces` }
      : { agentHost: address.split(":")[0], agentPort: Number(address.split(":")[1]) };
  return initTracer({ serviceName, sampler: { type: "const", param: 1 }, reporter, traceId128bit: true }, {});
}

const first = tracerOf(front);
const second = tracerOf(back);
const buy = first.startSpan("get /buy", { tags: { "span.kind": "server", "http.method": "GET" }, startTime: at(0) });
const post = first.startSpan("post", {
  childOf: buy,
  tags: { "span.kind": "client", "peer.service": back },
  startTime: at(62500),
});
post.log({ event: "queued", size: 3 }, at(70312));
const headers = {};
first.inject(post.context(), FORMAT_HTTP_HEADERS, headers);
const caller = second.extract(FORMAT_HTTP_HEADERS, headers);
const stock = second.startSpan("post /stock", { childOf: caller, tags: { "span.kind": "server" }, startTime: at(70000) });
stock.setTag("http.status_code", 500);
stock.setTag("error", true);
stock.log({ event: "error", "error.kind": "LookupError", message: "no stock" }, at(93750));
const look = second.startSpan("look", { childOf: stock, tags: { ratio: 0.5, ok: true }, startTime: at(78125) });
look.finish(at(93750));
stock.finish(at(100000));
post.finish(at(125000));
buy.finish(at(250000));
console.log(buy.context().traceIdStr);
first.close(() => second.close(() => process.exit(0)));
