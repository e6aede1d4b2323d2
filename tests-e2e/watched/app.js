// A service that gets a request each second, with its system's own agent: SYSTEM ADDRESS SERVICE SECONDS. Every tenth request fails.
// Prints how many there were, then stays until its input ends. The agent logs to the output and to stderr.
const [system, address, service, seconds] = process.argv.slice(2);
if (system === "skywalking") {
  const { default: agent } = require("skywalking-backend-js");
  agent.start({ serviceName: service, serviceInstance: `${service}-1`, collectorAddress: address });
} else require("pinpoint-node-agent");
const http = require("http");
const { spawn } = require("child_process");

const server = http.createServer((request, response) => {
  response.writeHead(request.url.endsWith("9") ? 500 : 200);
  response.end("bought");
});
server.listen(0, "127.0.0.1", () => {
  // The requests come from outside: those of this process would be spans of their own.
  const asking = `
    const http = require("http");
    let made = 0;
    const end = Date.now() + ${seconds} * 1000;
    function ask() {
      if (Date.now() >= end) return console.log(made);
      http.get("http://127.0.0.1:${server.address().port}/buy/" + made, (answer) => {
        answer.resume();
        answer.on("end", () => {
          made += 1;
          setTimeout(ask, 1000);
        });
      });
    }
    ask();`;
  const other = spawn(process.execPath, ["-e", asking], { stdio: ["ignore", "pipe", "inherit"] });
  other.stdout.on("data", (text) => console.log(`made ${text}`.trim()));
});
process.stdin.resume();
process.stdin.on("end", () => process.exit(0));
