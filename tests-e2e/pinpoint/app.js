// One service that traces with Pinpoint's agent for Node: ROLE; the agent is set by its variables. Prints its port and stays until
// its input ends. `front` calls the port in its query; `back` fails after a step that runs later.
require("pinpoint-node-agent");
const http = require("http");

const role = process.argv[2];

function buy(request, response) {
  // The agent sees http.request and not http.get.
  const call = http.request(`http://127.0.0.1:${request.url.split("=")[1]}/stock?of=7`, (answer) => {
    answer.resume();
    answer.on("end", () => response.end("bought"));
  });
  call.end();
}

function stock(request, response) {
  setTimeout(() => {
    response.writeHead(500);
    response.end("no stock");
  }, 20);
}

const server = http.createServer(role === "back" ? stock : buy);
server.listen(0, "127.0.0.1", () => console.log(`port ${server.address().port}`));
process.stdin.resume();
process.stdin.on("end", () => process.exit(0));
