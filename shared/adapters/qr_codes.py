"""QR codes of order receipts: the one room that knows the library."""

from io import BytesIO

import segno

from shared.domain.evidence.order_receipt import OrderReceipt


def receipt_code(page: str, receipt: OrderReceipt) -> segno.QRCode | None:
    """The link `page#digits` as a code of the least redundancy; None for a receipt that is too long for one.

    Digits are a separate segment: the largest code holds 7,089 of them, or 2,953 bytes.
    """
    try:
        # The library takes segments, though its annotation knows single contents only.
        return segno.make_qr([f"{page}#", receipt.digits], error="l", boost_error=False)  # type: ignore[arg-type]
    except segno.DataOverflowError:
        return None


def svg_of(code: segno.QRCode) -> str:
    """An SVG picture that scales to the room it is given."""
    out = BytesIO()
    code.save(out, kind="svg", xmldecl=False, omitsize=True, border=4)
    return out.getvalue().decode()


def terminal_text(code: segno.QRCode) -> str:
    """For a terminal: two modules in one character, dark on light, with its quiet zone."""
    rows = [[False] * 4 + [bool(module) for module in row] + [False] * 4 for row in code.matrix]
    blank = [False] * len(rows[0])
    rows = [blank] * 4 + rows + [blank] * (4 + len(rows) % 2)
    blocks = {(False, False): "█", (False, True): "▀", (True, False): "▄", (True, True): " "}
    pairs = zip(rows[::2], rows[1::2], strict=True)
    return "\n".join("".join(blocks[above, below] for above, below in zip(*pair, strict=True)) for pair in pairs)
