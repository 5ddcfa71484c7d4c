"""A pool of four processes squares ten numbers, in their order."""

import phalanx as multiprocessing


def square(number):
    return number * number


if __name__ == "__main__":
    with multiprocessing.Pool(processes=4) as pool:
        print(pool.map(square, [1, 2, 3, 4, 5, 6, 7, 8, 9, 10]))
