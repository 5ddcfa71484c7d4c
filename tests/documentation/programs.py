"""Programs that do what those on the manual's page on `multiprocessing` do, in our words.

Each prints the same with the standard library and with ours; where several processes print, the lines in any order.
"""

# What each shows, and its text.
PROGRAMS: dict[str, str] = {
    "a pool maps a function": """
def cube(number):
    return number ** 3

if __name__ == "__main__":
    with multiprocessing.Pool(3) as pool:
        print(pool.map(cube, [2, 3, 4]))
""",
    "a process is started and joined": """
def greet(name):
    print("good morning,", name)

if __name__ == "__main__":
    process = multiprocessing.Process(target=greet, args=("Ada",))
    process.start()
    process.join()
    print(process.exitcode, process.is_alive())
""",
    "a process knows its parent and its name": """
import os

def tell(title):
    print(title, __name__ == "__main__" or __name__ == "__mp_main__", multiprocessing.current_process().name)
    print(multiprocessing.parent_process() is not None, os.getppid() == multiprocessing.parent_process().pid)

if __name__ == "__main__":
    process = multiprocessing.Process(target=tell, args=("child",), name="the child")
    process.start()
    process.join()
    print(multiprocessing.current_process().name, multiprocessing.parent_process())
""",
    "the start method is chosen": """
def answer(queue, word):
    queue.put([multiprocessing.get_start_method(), word])

if __name__ == "__main__":
    multiprocessing.set_start_method("spawn")
    queue = multiprocessing.Queue()
    process = multiprocessing.Process(target=answer, args=(queue, "hello"))
    process.start()
    print(queue.get())
    process.join()
    try:
        multiprocessing.set_start_method("fork")
    except RuntimeError as error:
        print(error)
""",
    "contexts": """
def answer(queue):
    queue.put("from a context")

if __name__ == "__main__":
    for method in ("spawn", "fork", "forkserver"):
        context = multiprocessing.get_context(method)
        queue = context.Queue()
        process = context.Process(target=answer, args=(queue,))
        process.start()
        print(method, queue.get(), context.get_start_method())
        process.join()
""",
    "a queue": """
def fill(queue):
    queue.put([1, None, "text"])

if __name__ == "__main__":
    queue = multiprocessing.Queue()
    process = multiprocessing.Process(target=fill, args=(queue,))
    process.start()
    print(queue.get())
    process.join()
    print(queue.empty())
""",
    "a pipe": """
def talk(end):
    end.send([1, None, "text"])
    print(end.recv_bytes())
    end.close()

if __name__ == "__main__":
    mine, yours = multiprocessing.Pipe()
    process = multiprocessing.Process(target=talk, args=(yours,))
    process.start()
    print(mine.recv())
    mine.send_bytes(b"bytes")
    process.join()
""",
    "a lock around prints": """
def write(lock, number):
    with lock:
        print("line", number)

if __name__ == "__main__":
    lock = multiprocessing.Lock()
    for number in range(6):
        multiprocessing.Process(target=write, args=(lock, number)).start()
""",
    "shared values": """
def change(number, numbers):
    number.value = 2.5
    for at in range(len(numbers)):
        numbers[at] = -numbers[at]

if __name__ == "__main__":
    number = multiprocessing.Value("d", 0.0)
    numbers = multiprocessing.Array("i", range(6))
    process = multiprocessing.Process(target=change, args=(number, numbers))
    process.start()
    process.join()
    print(number.value, numbers[:])
""",
    "shared structures": """
from ctypes import Structure, c_double
from multiprocessing.sharedctypes import Array, Value

class Point(Structure):
    _fields_ = [("x", c_double), ("y", c_double)]

def square(number, text, points):
    number.value **= 2
    text.value = text.value.upper()
    for point in points:
        point.x **= 2
        point.y **= 2

if __name__ == "__main__":
    lock = multiprocessing.Lock()
    number = Value("i", 7)
    text = Array("c", b"hello there", lock=multiprocessing.RLock())
    points = Array(Point, [(1.5, -6.5), (2.5, 2.0)])
    process = multiprocessing.Process(target=square, args=(number, text, points))
    process.start()
    process.join()
    print(number.value, text.value, [(point.x, point.y) for point in points])
""",
    "a manager": """
def fill(mapping, items):
    mapping[1] = "1"
    mapping["2"] = 2
    items.reverse()

if __name__ == "__main__":
    with multiprocessing.Manager() as manager:
        mapping, items = manager.dict(), manager.list(range(5))
        process = multiprocessing.Process(target=fill, args=(mapping, items))
        process.start()
        process.join()
        print(mapping, items)
        inner = manager.list([manager.dict()])
        inner[0]["deep"] = True
        print(inner[0]["deep"], manager.Namespace(x=1).x)
""",
    "a manager of one's own": """
from multiprocessing.managers import BaseManager

class Sums:
    def add(self, left, right):
        return left + right

class Ours(BaseManager):
    pass

Ours.register("Sums", Sums)

if __name__ == "__main__":
    with Ours() as manager:
        print(manager.Sums().add(4, 3))
""",
    "a manager that is reached by its address": """
import queue
from multiprocessing.managers import BaseManager

waiting = queue.Queue()

class Server(BaseManager):
    pass

class Client(BaseManager):
    pass

Server.register("get_queue", callable=lambda: waiting)
Client.register("get_queue")

def put(address):
    client = Client(address=address, authkey=b"secret")
    client.connect()
    client.get_queue().put("from far away")

if __name__ == "__main__":
    multiprocessing.set_start_method("fork")
    server = Server(address=("127.0.0.1", 0), authkey=b"secret")
    server.start()
    process = multiprocessing.Process(target=put, args=(server.address,))
    process.start()
    process.join()
    print(server.get_queue().get())
    server.shutdown()
""",
    "what a pool can do": """
import time

def square(number):
    return number * number

def plus(left, right):
    return left + right

def fail():
    raise NotImplementedError("not today")

if __name__ == "__main__":
    with multiprocessing.Pool(processes=4) as pool:
        print(pool.map(square, range(10)))
        print(sorted(pool.imap_unordered(square, range(10))))
        found = pool.apply_async(square, (20,))
        print(found.get(timeout=20), found.ready(), found.successful())
        several = [pool.apply_async(plus, (number, number)) for number in range(4)]
        print([each.get(timeout=20) for each in several])
        sleeping = pool.apply_async(time.sleep, (30,))
        try:
            sleeping.get(timeout=0.1)
        except multiprocessing.TimeoutError:
            print("no answer yet")
        try:
            pool.apply(fail)
        except NotImplementedError as error:
            print("raised", error)
        iterator = pool.imap(square, [1, 2, 3])
        print(iterator.next(timeout=20), next(iterator), list(iterator))
        print(list(pool.starmap(plus, [(1, 2), (3, 4)])))
    try:
        pool.map(square, [1])
    except ValueError:
        print("it is closed")
""",
    "callbacks of a pool": """
def double(number):
    return 2 * number

def fail(number):
    raise ValueError(number)

if __name__ == "__main__":
    found = []
    pool = multiprocessing.Pool(2, maxtasksperchild=3)
    for number in range(8):
        pool.apply_async(double, (number,), callback=found.append)
    pool.apply_async(fail, (9,), error_callback=lambda error: found.append(error.args[0]))
    pool.map_async(double, [10], callback=found.extend).wait()
    pool.close()
    pool.join()
    print(sorted(found))
""",
    "workers that take tasks from a queue": """
def work(tasks, results):
    for function, args in iter(tasks.get, "STOP"):
        results.put(f"{function.__name__}{args} = {function(*args)}")

def multiply(left, right):
    return left * right

if __name__ == "__main__":
    tasks, results = multiprocessing.Queue(), multiprocessing.Queue()
    for number in range(5):
        tasks.put((multiply, (number, 7)))
        tasks.put((pow, (number, 2)))
    workers = [multiprocessing.Process(target=work, args=(tasks, results)) for _ in range(3)]
    for worker in workers:
        worker.start()
    for _ in range(10):
        print(results.get())
    for _ in workers:
        tasks.put("STOP")
    for worker in workers:
        worker.join()
""",
    "a queue that is joined": """
def work(queue, done):
    while (item := queue.get()) is not None:
        done.append(item)
        queue.task_done()
    queue.task_done()

if __name__ == "__main__":
    queue = multiprocessing.JoinableQueue()
    with multiprocessing.Manager() as manager:
        done = manager.list()
        process = multiprocessing.Process(target=work, args=(queue, done), daemon=True)
        process.start()
        for item in ["a", "b", None]:
            queue.put(item)
        queue.join()
        print(list(done))
        process.join()
""",
    "waiting for several connections": """
from multiprocessing.connection import wait

def speak(end):
    for number in range(3):
        end.send((number, multiprocessing.current_process().name))
    end.close()

if __name__ == "__main__":
    readers = []
    for number in range(3):
        reader, writer = multiprocessing.Pipe(duplex=False)
        readers.append(reader)
        multiprocessing.Process(target=speak, args=(writer,), name=f"speaker {number}").start()
        writer.close()
    while readers:
        for reader in wait(readers):
            try:
                print(reader.recv())
            except EOFError:
                readers.remove(reader)
""",
    "a listener and a client": """
from multiprocessing.connection import Client, Listener

def serve(listener):
    with listener.accept() as connection:
        connection.send([2.25, None, "junk", float])
        connection.send_bytes(b"hello")

if __name__ == "__main__":
    multiprocessing.set_start_method("fork")
    with Listener(("127.0.0.1", 0), authkey=b"secret") as listener:
        process = multiprocessing.Process(target=serve, args=(listener,))
        process.start()
        with Client(listener.address, authkey=b"secret") as connection:
            print(connection.recv(), connection.recv_bytes())
        process.join()
""",
    "a process is ended": """
import signal
import time

if __name__ == "__main__":
    process = multiprocessing.Process(target=time.sleep, args=(1000,))
    print(process.is_alive())
    process.start()
    print(process.is_alive())
    process.terminate()
    process.join()
    print(process.is_alive(), process.exitcode == -signal.SIGTERM)
    process.close()
    try:
        process.is_alive()
    except ValueError as error:
        print(error)
""",
    "events, conditions, semaphores, barriers": """
def wait_for(event, condition, semaphore, barrier, queue):
    event.wait()
    with semaphore:
        queue.put("in")
    barrier.wait()
    with condition:
        condition.notify()

if __name__ == "__main__":
    event, condition = multiprocessing.Event(), multiprocessing.Condition()
    semaphore, barrier = multiprocessing.BoundedSemaphore(2), multiprocessing.Barrier(4)
    queue = multiprocessing.Queue()
    arguments = (event, condition, semaphore, barrier, queue)
    processes = [multiprocessing.Process(target=wait_for, args=arguments) for _ in range(3)]
    for process in processes:
        process.start()
    with condition:
        event.set()
        print([queue.get() for _ in range(3)])
        barrier.wait()
        print(condition.wait(20))
    for process in processes:
        process.join()
    try:
        semaphore.release()
        semaphore.release()
        semaphore.release()
    except ValueError as error:
        print(error)
""",
    "shared memory": """
from multiprocessing import shared_memory
from multiprocessing.managers import SharedMemoryManager

def increase(name):
    memory = shared_memory.SharedMemory(name=name)
    memory.buf[0] += 1
    memory.close()

if __name__ == "__main__":
    memory = shared_memory.SharedMemory(create=True, size=10)
    memory.buf[:2] = bytes([41, 7])
    process = multiprocessing.Process(target=increase, args=(memory.name,))
    process.start()
    process.join()
    print(memory.buf[0], memory.buf[1], memory.size >= 10)
    memory.close()
    memory.unlink()
    with SharedMemoryManager() as manager:
        items = manager.ShareableList(["one", 2, 3.5, None])
        print(list(items), items.count(2), items.index("one"))
""",
    "threads in place of processes": """
from multiprocessing.dummy import Pool

def square(number):
    return number * number

if __name__ == "__main__":
    with Pool(3) as pool:
        print(pool.map(square, range(5)))
""",
    "a process that is a class": """
class Counter(multiprocessing.Process):
    def __init__(self, queue, upto):
        super().__init__(daemon=True)
        self.queue, self.upto = queue, upto

    def run(self):
        self.queue.put(sum(range(self.upto)))

if __name__ == "__main__":
    queue = multiprocessing.SimpleQueue()
    counter = Counter(queue, 10)
    print(counter.daemon, counter.exitcode)
    counter.start()
    print(queue.get())
    counter.join()
    print(counter.exitcode, len(multiprocessing.active_children()))
""",
}
