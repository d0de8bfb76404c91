"""Keeps the small fits of scikit-learn on one thread."""

from threadpoolctl import threadpool_limits


def one_thread() -> threadpool_limits:
    """Return a context in which OpenMP and BLAS use one thread; what was set before holds again afterwards.

    Several OpenMP threads wait for each other by spinning. On a machine whose cores are busy that has made a fit of
    two seconds take over a minute, and for fits this small a second thread gains next to nothing.
    """
    return threadpool_limits(limits=1)
