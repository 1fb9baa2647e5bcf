"""What the Python tests are made of: prints lines as check.h does."""

_tests = []


def test(function):
    _tests.append(function)
    return function


def main() -> int:
    """Runs all that are marked as tests. The exit status."""
    failed = 0
    for function in _tests:
        try:
            function()
            print("ok", function.__name__, flush=True)
        except BaseException as error:
            failed = 1
            place = error.__traceback__
            while place.tb_next:
                place = place.tb_next
            print(f"FAIL {function.__name__}: {error!r} at line {place.tb_lineno}", flush=True)
    return failed
