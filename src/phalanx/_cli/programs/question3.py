"""A pool of five processes picks the even numbers."""

import phalanx as multiprocessing


def even(number):
    return number % 2 == 0


if __name__ == "__main__":
    numbers = range(1, 100)
    with multiprocessing.Pool(processes=5) as pool:
        answers = pool.map(even, numbers)
    print([number for number, is_even in zip(numbers, answers) if is_even])
