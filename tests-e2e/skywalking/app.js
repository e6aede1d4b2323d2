// Two services that trace with SkyWalking's agent for Node: HOST:PORT FRONT BACK; prints the trace id.
// Each service is a process of its own, as the agent has one service for a process; both stay until their input ends. The HTTP
// plugin makes the spans of both ends.
const http = require("http");
const { spawn } = require("child_process");
const { default: agent, ContextManager } = require("skywalking-backend-js");

const [address, front, back, role] = process.argv.slice(2);
const serviceName = role === "back" ? back : front;
agent.start({ serviceName, serviceInstance: `${serviceName}-1`, collectorAddress: address });

async function looked() {
  const span = ContextManager.current.newLocalSpan("look");
  span.start();
  span.async();
  await new Promise((done) => setTimeout(done, 5));
  span.resync();
  span.error(new RangeError("no stock"));
  span.stop();
}

async function stock(request, response) {
  await looked();
  response.writeHead(500);
  response.end("no stock");
}

function buy(request, response) {
  const traceId = ContextManager.current.traceId();
  // The plugin sees http.request and not http.get.
  const call = http.request(`http://127.0.0.1:${request.url.split("=")[1]}/stock?of=7`, (answer) => {
    answer.resume();
    answer.on("end", () => {
      response.writeHead(502);
      response.end(traceId);
    });
  });
  call.end();
}

const server = http.createServer(role === "back" ? stock : buy);
server.listen(0, "127.0.0.1", () => {
  if (role === "back") process.send(server.address().port);
  else start(server.address().port);
});
process.stdin.resume();
process.stdin.on("end", async () => {
  await agent.flush();
  process.exit(0);
});

function start(port) {
  const other = spawn(process.execPath, [...process.argv.slice(1), "back"], { stdio: ["inherit", 2, 2, "ipc"] });
  other.on("message", (backPort) => {
    // From outside, as a request of this process would be a span of its own.
    const curl = spawn("curl", ["-s", `http://127.0.0.1:${port}/buy?port=${backPort}`]);
    curl.stdout.on("data", (text) => console.log(`${text}`));
  });
}
