import pytest
import torch


@pytest.fixture(autouse=True)
def one_thread():
    """As in the ladder's worker processes; bit-equal results need equal threads."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)
