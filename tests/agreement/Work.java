import java.util.stream.IntStream;

/** Threads that wait and one that works; the process is killed meanwhile. */
public class Work {
    static synchronized long work(int depth) {
        return depth == 0 ? IntStream.range(0, 1_000_000).mapToLong(n -> n % 7).sum() : work(depth - 1) + depth;
    }

    public static void main(String[] arguments) throws Exception {
        Thread waits = new Thread(() -> {
            try {
                Thread.sleep(3_600_000);
            } catch (InterruptedException ended) {
                Thread.currentThread().interrupt();
            }
        });
        waits.setDaemon(true);
        waits.start();
        for (;;) {
            work(5);
        }
    }
}
