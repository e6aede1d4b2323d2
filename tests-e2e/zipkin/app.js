// Two services by zipkin-js, one calling the other, which fails: node app.js URL FRONT BACK START_US. Prints what it sent.
const {Annotation, BatchRecorder, ExplicitContext, HttpHeaders, Instrumentation, InetAddress, Tracer, jsonEncoder, option, TraceId} = require('zipkin');
const {HttpLogger} = require('zipkin-transport-http');

const [url, front, back] = process.argv.slice(2);
const sent = [];
let unanswered = 2;  // each service sends its spans in one request
const answered = () => { if (--unanswered === 0) { console.log(JSON.stringify(sent)); process.exit(0); } };
const tracer = (service, port) => {
  const logger = new HttpLogger({endpoint: url, jsonEncoder: jsonEncoder.JSON_V2, httpInterval: 100});
  const logSpan = logger.logSpan.bind(logger);
  logger.logSpan = span => { sent.push(JSON.parse(jsonEncoder.JSON_V2.encode(span))); logSpan(span); };
  logger.on('success', answered);
  logger.on('error', error => { console.error(error); process.exit(1); });
  return new Tracer({
    ctxImpl: new ExplicitContext(), recorder: new BatchRecorder({logger}), localServiceName: service, traceId128Bit: true, supportsJoin: true,
    localEndpoint: undefined, defaultTags: {},
  });
};
const fronts = tracer(front), backs = tracer(back);
fronts.scoped(() => {
  const root = fronts.createRootId();
  fronts.setId(root);
  fronts.recordServiceName(front);
  fronts.recordRpc('get /buy');
  fronts.recordAnnotation(new Annotation.ServerRecv());
  fronts.recordAnnotation(new Annotation.LocalAddr({port: 8080}));
  fronts.recordBinary('http.method', 'GET');
  fronts.recordBinary('http.path', '/buy');
  const call = fronts.createChildId();
  fronts.letId(call, () => {
    fronts.recordServiceName(front);
    fronts.recordRpc('post');
    fronts.recordAnnotation(new Annotation.ClientSend());
    fronts.recordAnnotation(new Annotation.ServerAddr({serviceName: back, host: new InetAddress('127.0.0.1'), port: 8081}));
    fronts.recordMessage('queued');
    backs.scoped(() => {
      const served = backs.join(call);
      backs.letId(served, () => {
        backs.recordServiceName(back);
        backs.recordRpc('post /stock');
        backs.recordAnnotation(new Annotation.ServerRecv());
        const look = backs.createChildId();
        backs.letId(look, () => {
          backs.recordServiceName(back);
          backs.recordAnnotation(new Annotation.LocalOperationStart('look'));
          backs.recordAnnotation(new Annotation.LocalOperationStop());
        });
        backs.recordBinary('http.status_code', '500');
        backs.recordBinary('error', 'no stock');
        backs.recordAnnotation(new Annotation.ServerSend());
      });
    });
    fronts.recordAnnotation(new Annotation.ClientRecv());
  });
  fronts.recordAnnotation(new Annotation.ServerSend());
});
setInterval(() => {}, 1000);  // the logger's own timer keeps no process alive
