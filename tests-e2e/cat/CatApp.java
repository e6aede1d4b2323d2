import com.dianping.cat.Cat;
import com.dianping.cat.configuration.model.entity.ClientConfig;
import com.dianping.cat.configuration.model.entity.Domain;
import com.dianping.cat.configuration.model.entity.Server;
import com.dianping.cat.message.Message;
import com.dianping.cat.message.MessageTree;
import com.dianping.cat.message.Transaction;
import com.dianping.cat.message.ForkableTransaction;
import com.dianping.cat.message.ForkedTransaction;
import com.dianping.cat.message.context.TraceContextHelper;
import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.CountDownLatch;

/**
 * Two services traced by CAT's client for Java, 4.0: `front` calls `back`, which fails.
 *
 * <p>front HOST TCPPORT HTTPPORT FRONT BACK, back HOST TCPPORT HTTPPORT BACK ROOT PARENT CHILD. `front` runs `back` as a process of its own
 * and prints the id of its tree. Both stay until their input ends, since the client has no way to wait until everything is sent.
 */
public class CatApp {
    public static void main(String[] args) throws Exception {
        ClientConfig config = new ClientConfig().setDomain(new Domain().setName(args[4]));
        config.addServer(new Server(args[1]).setPort(Integer.parseInt(args[2])).setHttpPort(Integer.parseInt(args[3])));
        // Its own copy of netty cannot load its native part.
        config.findOrCreateProperty("network.epoll.enabled").setValue("false");
        Cat.getBootstrap().initialize(config);
        Thread.sleep(2000); // it has no way to wait until it is connected
        if (args[0].equals("front")) {
            front(args);
        } else {
            back(args);
        }
        while (System.in.read() >= 0) {}
        System.exit(0);
    }

    private static void front(String[] args) throws Exception {
        Transaction buy = Cat.newTransaction("URL", "/buy");
        String id = TraceContextHelper.threadLocal().getMessageTree().getMessageId();
        Cat.logEvent("URL", "URL.Method", Message.SUCCESS, "HTTP/GET /buy?x=1&y=2");
        Transaction sql = Cat.newTransaction("SQL", "select");
        sql.addData("select *\n\tfrom items where a = 1 and b = '\\n'");
        Thread.sleep(3);
        sql.setStatus(Message.SUCCESS);
        sql.complete();
        Transaction call = Cat.newTransaction("Call", "stock");
        Cat.logEvent("Call.app", args[5]);
        String child = TraceContextHelper.createMessageId();
        Cat.logEvent("RemoteCall", "", Message.SUCCESS, child);
        run("back", args[1], args[2], args[3], args[5], id, id, child);
        call.setStatus(Message.SUCCESS);
        call.complete();
        ForkableTransaction forkable = buy.forFork();
        CountDownLatch forked = new CountDownLatch(1);
        CountDownLatch done = new CountDownLatch(1);
        Thread other = new Thread(() -> mail(forkable, forked, done), "mailer");
        other.start();
        forked.await();
        forkable.complete();
        buy.addData("user", "7");
        buy.setStatus(Message.SUCCESS);
        buy.complete();
        done.countDown();
        other.join();
        Transaction next = Cat.newTransaction("URL", "/next");
        next.setStatus(Message.SUCCESS);
        next.complete();
        Cat.logEvent("shop", "closed", Message.SUCCESS, "a=1");
        Cat.logMetricForCount("orders");
        System.out.println(id);
        System.out.flush();
    }

    /** In a thread that goes on when the transaction that started it has ended. */
    private static void mail(ForkableTransaction forkable, CountDownLatch forked, CountDownLatch done) {
        try (ForkedTransaction own = forkable.doFork()) {
            forked.countDown();
            done.await();
            Transaction mail = Cat.newTransaction("Task", "mail");
            mail.setStatus(Message.SUCCESS);
            mail.complete();
        } catch (InterruptedException error) {
            throw new IllegalStateException(error);
        }
    }

    private static void back(String[] args) {
        MessageTree tree = TraceContextHelper.threadLocal().getMessageTree();
        tree.setRootMessageId(args[5]);
        tree.setParentMessageId(args[6]);
        tree.setMessageId(args[7]);
        Transaction service = Cat.newTransaction("Service", "stock");
        try {
            throw new IllegalStateException("no stock");
        } catch (IllegalStateException error) {
            Cat.logError(error);
            service.setStatus(error);
        } finally {
            service.complete();
        }
        System.out.println("done");
        System.out.flush();
    }

    private static void run(String... arguments) throws Exception {
        List<String> command = new ArrayList<>(List.of(ProcessHandle.current().info().command().orElse("java"), "-Xmx256m"));
        command.add("-Duser.home=" + System.getProperty("user.home")); // it keeps files there
        command.addAll(List.of("-cp", System.getProperty("java.class.path"), "CatApp"));
        command.addAll(List.of(arguments));
        ProcessBuilder builder = new ProcessBuilder(command).redirectInput(ProcessBuilder.Redirect.INHERIT);
        Process other = builder.redirectErrorStream(true).start();
        BufferedReader said = new BufferedReader(new InputStreamReader(other.getInputStream()));
        for (String line = said.readLine(); !"done".equals(line); line = said.readLine()) {
            if (line == null) {
                throw new IllegalStateException("the back ended");
            }
            System.err.println(line);
        }
        Thread rest = new Thread(() -> said.lines().forEach(System.err::println));
        rest.setDaemon(true);
        rest.start();
    }
}
