import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.lang.reflect.Field;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import org.apache.skywalking.apm.agent.core.boot.BootService;
import org.apache.skywalking.apm.agent.core.boot.ServiceManager;
import org.apache.skywalking.apm.agent.core.context.CarrierItem;
import org.apache.skywalking.apm.agent.core.context.ContextCarrier;
import org.apache.skywalking.apm.agent.core.context.ContextManager;
import org.apache.skywalking.apm.agent.core.context.ContextManagerExtendService;
import org.apache.skywalking.apm.agent.core.context.ContextSnapshot;
import org.apache.skywalking.apm.agent.core.context.trace.AbstractSpan;
import org.apache.skywalking.apm.agent.core.context.trace.SpanLayer;
import org.apache.skywalking.apm.agent.core.remote.GRPCChannelStatus;
import org.apache.skywalking.apm.agent.core.remote.TraceSegmentServiceClient;
import org.apache.skywalking.apm.network.trace.component.ComponentsDefine;

/**
 * Two services that trace with the core of SkyWalking's agent for Java: AGENT_JAR HOST:PORT FRONT BACK [sw8].
 *
 * <p>The agent is attached to each of the two JVMs; its jar is on their class path, so that its API can be called without plugins.
 * Without a header this is the first service, which starts the second within its call. Both stay until their input ends.
 */
public class SkyWalkingApp {
    public static void main(String[] arguments) throws Exception {
        waitForConnection();
        if (arguments.length > 4) {
            stock(arguments[4]);
            System.out.println("done");
        } else {
            buy(arguments);
        }
        while (System.in.read() >= 0) {}
        System.exit(0);
    }

    /**
     * Until it is connected the agent makes spans of an "Ignored_Trace" and drops segments, and tells nobody. It says that it is
     * connected to one of its parts after the other, and on a busy machine the first spans can be made between two of them.
     */
    static void waitForConnection() throws Exception {
        waitForConnection(ContextManagerExtendService.class);
        waitForConnection(TraceSegmentServiceClient.class);
    }

    private static void waitForConnection(Class<? extends BootService> part) throws Exception {
        Object found = ServiceManager.INSTANCE.findService(part);
        Field status = part.getDeclaredField("status");
        status.setAccessible(true);
        while (status.get(found) != GRPCChannelStatus.CONNECTED) {
            Thread.sleep(20);
        }
    }

    static void buy(String[] arguments) throws Exception {
        AbstractSpan entry = ContextManager.createEntrySpan("GET:/buy", new ContextCarrier());
        entry.setComponent(ComponentsDefine.TOMCAT).setLayer(SpanLayer.HTTP).tag("http.method", "GET");
        String traceId = ContextManager.getGlobalTraceId();
        if (!traceId.matches("[0-9a-f]{32}[.0-9]*")) {
            throw new IllegalStateException("the agent does not trace: " + traceId);
        }
        ContextCarrier carrier = new ContextCarrier();
        AbstractSpan call = ContextManager.createExitSpan("/stock", carrier, "127.0.0.1:8094");
        call.setComponent(ComponentsDefine.HTTPCLIENT).setLayer(SpanLayer.HTTP).tag("http.method", "POST");
        call.tag("url", "http://127.0.0.1:8094/stock?of=7");
        String header = "";
        for (CarrierItem item = carrier.items(); item.hasNext(); ) {
            item = item.next();
            header = item.getHeadKey().equals("sw8") ? item.getHeadValue() : header;
        }
        String jar = arguments[0];
        List<String> command = new ArrayList<>();
        command.add(ProcessHandle.current().info().command().get());
        command.add("-Xmx128m");
        command.add(
                "-javaagent:" + jar + "=agent.service_name=" + arguments[3] + ",agent.instance_name=" + arguments[3]
                        + "-1,collector.backend_service=" + arguments[1] + ",logging.output=CONSOLE,logging.level=INFO");
        command.addAll(List.of("-cp", System.getProperty("java.class.path"), "SkyWalkingApp"));
        command.addAll(List.of(arguments));
        command.add(header);
        ProcessBuilder builder = new ProcessBuilder(command).redirectInput(ProcessBuilder.Redirect.INHERIT);
        Process other = builder.redirectErrorStream(true).start();
        BufferedReader said = new BufferedReader(new InputStreamReader(other.getInputStream()));
        String line = said.readLine();
        while (!"done".equals(line)) {
            if (line == null) {
                throw new IllegalStateException("the second service ended");
            }
            System.err.println(line);
            line = said.readLine();
        }
        Thread rest = new Thread(() -> said.lines().forEach(System.err::println));
        rest.setDaemon(true);
        rest.start();
        call.tag("http.status_code", "500");
        call.errorOccurred();
        ContextManager.stopSpan();
        entry.tag("http.status_code", "502");
        entry.errorOccurred();
        ContextManager.stopSpan();
        System.out.println("trace " + traceId);
    }

    static void stock(String header) throws Exception {
        ContextCarrier carrier = new ContextCarrier();
        for (CarrierItem item = carrier.items(); item.hasNext(); ) {
            item = item.next();
            if (item.getHeadKey().equals("sw8")) {
                item.setHeadValue(header);
            }
        }
        AbstractSpan entry = ContextManager.createEntrySpan("POST:/stock", carrier);
        entry.setComponent(ComponentsDefine.TOMCAT).setLayer(SpanLayer.HTTP).tag("http.method", "POST");
        ContextSnapshot snapshot = ContextManager.capture();
        Thread thread = new Thread(() -> look(snapshot));
        thread.start();
        thread.join();
        entry.tag("http.status_code", "500");
        entry.errorOccurred();
        ContextManager.stopSpan();
    }

    static void look(ContextSnapshot snapshot) {
        AbstractSpan local = ContextManager.createLocalSpan("look");
        ContextManager.continued(snapshot);
        AbstractSpan query = ContextManager.createExitSpan("PostgreSQL/JDBI/Statement/execute", "db:5432");
        query.setComponent(ComponentsDefine.POSTGRESQL_DRIVER).setLayer(SpanLayer.DB);
        query.tag("db.type", "PostgreSQL").tag("db.instance", "shop").tag("db.statement", "select 1");
        query.log(System.currentTimeMillis(), Map.of("event", "retry"));
        ContextManager.stopSpan();
        local.log(new IllegalStateException("no stock"));
        local.errorOccurred();
        ContextManager.stopSpan();
    }
}
