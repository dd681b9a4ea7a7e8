"""Numbers as the text writes them."""

__all__ = ["grouped", "scientific"]

_RAISED = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")


def scientific(value: float, digits: int = 0) -> str:
    """Write 3.5e-07 as 4·10⁻⁷, or with more digits as 3.5·10⁻⁷; a lone power as 10⁻⁵."""
    mantissa, _, exponent = f"{value:.{digits}e}".partition("e")
    power = f"10{str(int(exponent)).translate(_RAISED)}"
    return power if mantissa == "1" else f"{mantissa.replace('-', '−')}·{power}"


def grouped(value: float) -> str:
    """Write a large whole number in groups of three."""
    return f"{value:,.0f}"
