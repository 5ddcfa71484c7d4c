"""Four processes print a number each; the lock keeps every line whole."""

import phalanx as multiprocessing


def show(number, lock):
    with lock:
        print(f"this process prints {number}", flush=True)


if __name__ == "__main__":
    lock = multiprocessing.Lock()
    processes = []
    for number in (1, 2, 3, 4):
        process = multiprocessing.Process(target=show, args=(number, lock))
        process.start()
        processes.append(process)
    for process in processes:
        process.join()
