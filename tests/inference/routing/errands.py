"""Routes through backends alone, for tests that care for nothing else."""

from inference.routing.journey import RetryPolicy
from inference.routing.order import Ranking
from inference.routing.plan import Candidate, Errand
from inference.routing.router import Router
from inference.types import CancelToken


def make_router(pause_s=0.0, max_calls=6, **values):
    return Router(RetryPolicy(max_calls, pause_s=pause_s), **values)


def route(router, request, backends, deadlines, cancel=None, on_attempt=None):
    """Ask the backends in their order, all with the same deadlines."""
    hear = on_attempt or (lambda report: None)
    errand = Errand(request, cancel or CancelToken(), hear)
    ranking = Ranking(tuple(Candidate(backend, deadlines) for backend in backends))
    return router.route(errand, ranking)
