import com.alipay.common.tracer.core.configuration.SofaTracerConfiguration;
import com.alipay.common.tracer.core.listener.SpanReportListenerHolder;
import com.alipay.sofa.tracer.plugin.flexible.FlexibleTracer;
import com.alipay.sofa.tracer.plugins.datasource.SmartDataSource;
import com.alipay.sofa.tracer.plugins.okhttp.SofaTracerOkHttpBuilder;
import com.alipay.sofa.tracer.plugins.springmvc.SpringMvcSofaTracerFilter;
import com.alipay.sofa.tracer.plugins.zipkin.ZipkinSofaTracerSpanRemoteReporter;
import com.zaxxer.hikari.HikariDataSource;
import java.io.File;
import java.io.IOException;
import java.nio.file.Files;
import java.sql.Connection;
import java.sql.PreparedStatement;
import java.sql.SQLException;
import javax.servlet.http.HttpServlet;
import javax.servlet.http.HttpServletRequest;
import javax.servlet.http.HttpServletResponse;
import okhttp3.OkHttpClient;
import okhttp3.Request;
import okhttp3.Response;
import org.apache.catalina.Context;
import org.apache.catalina.startup.Tomcat;
import org.apache.tomcat.util.descriptor.web.FilterDef;
import org.apache.tomcat.util.descriptor.web.FilterMap;
import org.springframework.web.client.RestTemplate;

/**
 * A service traced by SOFATracer, and what calls it: an order that looks into a database, runs a method with a span of its own and
 * asks a second service, and one that fails. The statement has what no layout escapes: quotes and line ends.
 *
 * <p>SofaTracerApp LOGS json|compact ZIPKIN|- PEER|- ORDERS. LOGS gets tracelog/*-digest.log; ZIPKIN is the base address of a
 * collector; PEER is a service that each order asks too. It stays until its input ends, since the logs and the reporter have threads
 * of their own, which nothing waits for.
 */
public class SofaTracerApp {
    private static final String STATEMENT = "select name, 'say \"hi\"' as greeting\n  from goods, shelf\n where price > ? and shelf = 'a,b'";

    private final OkHttpClient http;
    private final SmartDataSource database;
    private final FlexibleTracer methods = new FlexibleTracer();
    private final String peer;
    private int port;

    private SofaTracerApp(String peer) throws Exception {
        this.peer = peer;
        http = SofaTracerOkHttpBuilder.clientBuilder(new OkHttpClient.Builder()).build();
        HikariDataSource pool = new HikariDataSource();
        pool.setJdbcUrl("jdbc:h2:mem:mysql;MODE=MySQL;DB_CLOSE_DELAY=-1");
        pool.setMaximumPoolSize(2);
        try (Connection one = pool.getConnection()) {
            one.createStatement().execute("create table goods (name varchar(20), price int)");
            one.createStatement().execute("create table shelf (shelf varchar(20))");
        }
        database = new SmartDataSource(pool);
        database.setAppName("orders");
        database.setDatabase("shop");
        database.setDbType("h2");
        database.init();
    }

    private String get(String url) throws IOException {
        try (Response response = http.newCall(new Request.Builder().url(url).build()).execute()) {
            return response.code() + " " + response.header("Content-Type", "");
        }
    }

    private final class Orders extends HttpServlet {
        @Override
        protected void doGet(HttpServletRequest request, HttpServletResponse response) throws IOException {
            if (request.getPathInfo().equals("/boom")) {
                throw new IllegalStateException("no, \"boom\"");
            }
            if (request.getPathInfo().equals("/order")) {
                methods.beforeInvoke("price");
                select();
                methods.afterInvoke();
                get("http://127.0.0.1:" + port + "/stock?q=\"a,b\"");
                if (!peer.equals("-")) {
                    get(peer);
                }
            }
            response.getWriter().print("ok");
        }
    }

    private void select() throws IOException {
        try (Connection connection = database.getConnection();
                PreparedStatement statement = connection.prepareStatement(STATEMENT)) {
            statement.setInt(1, 5);
            statement.executeQuery();
        } catch (SQLException error) {
            throw new IOException(error);
        }
    }

    private void run(int orders) throws Exception {
        Tomcat tomcat = new Tomcat();
        File base = Files.createTempDirectory("sofatracer-app").toFile();
        tomcat.setBaseDir(base.getPath());
        tomcat.setPort(0);
        tomcat.getConnector().setProperty("address", "127.0.0.1");
        Context context = tomcat.addContext("", null);
        Tomcat.addServlet(context, "orders", new Orders()).setLoadOnStartup(1);
        context.addServletMappingDecoded("/*", "orders");
        FilterDef filter = new FilterDef();
        filter.setFilterName("sofatracer");
        filter.setFilter(new SpringMvcSofaTracerFilter());
        context.addFilterDef(filter);
        FilterMap map = new FilterMap();
        map.setFilterName("sofatracer");
        map.addURLPattern("/*");
        context.addFilterMap(map);
        tomcat.start();
        port = tomcat.getConnector().getLocalPort();
        for (int order = 0; order < orders; order++) {
            get("http://127.0.0.1:" + port + "/order");
            get("http://127.0.0.1:" + port + "/boom");
        }
    }

    public static void main(String[] arguments) throws Exception {
        System.setProperty("logging.path", arguments[0]);
        SofaTracerConfiguration.setProperty(SofaTracerConfiguration.TRACER_APPNAME_KEY, "orders");
        SofaTracerConfiguration.setProperty(
                SofaTracerConfiguration.JSON_FORMAT_OUTPUT, String.valueOf(arguments[1].equals("json")));
        if (!arguments[2].equals("-")) {
            SpanReportListenerHolder.addSpanReportListener(
                    new ZipkinSofaTracerSpanRemoteReporter(new RestTemplate(), arguments[2]));
        }
        new SofaTracerApp(arguments[3]).run(Integer.parseInt(arguments[4]));
        System.out.println("done");
        System.out.flush();
        while (System.in.read() >= 0) {}
        System.exit(0);
    }
}
