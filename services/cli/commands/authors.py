"""`danbao author`: keys of those who send messages, and the signature of one message."""

# ruff: noqa: PLC0415 - a command imports its own work, so that --help is quick

from pathlib import Path
from typing import Annotated

import typer

from shared.domain.errors import Refused
from shared.runtime.exits import Exit


def add_commands(app: typer.Typer) -> None:
    """Give the application these commands."""
    author = typer.Typer(
        help="Keys of those who send messages, and signatures.", no_args_is_help=True, rich_markup_mode=None
    )
    author.command("key")(key)
    author.command("sign")(sign)
    author.command("reversal")(reversal)
    author.command("enterprise-key")(enterprise_key)
    author.command("sign-declaration")(sign_declaration)
    app.add_typer(author, name="author")


def key(
    file: Annotated[Path, typer.Argument(help="The private key (PEM); made, for its owner only, if it is not there.")],
    name: Annotated[str, typer.Option(help="Name of the key, such as bank.example/remittances.")],
    role: Annotated[str, typer.Option(help="charging, ledger, operator, remittances, injuries or totals.")],
    identity: Annotated[
        str, typer.Option(help="Of charging its deployment, of an operator the account, of totals the source.")
    ] = "",
) -> int:
    """Print the line of an author for the file of DANBAO_VKEYS: vkey, role and identity."""
    from shared.adapters.crypto.signing import make_note_key
    from shared.domain.evidence.authors import Author, Role
    from shared.domain.evidence.signed_note import ED25519, VerifierKey

    if role not in {*Role}:
        raise Refused(f"--role {role}: the roles are {', '.join(Role)}")
    # With no key at all first: a line that is refused leaves no private key behind.
    Author.parse(str(Author(VerifierKey(name, ED25519, bytes(32)), Role(role), identity)))
    print(Author(make_note_key(file, name, ED25519), Role(role), identity))
    return Exit.OK


def sign(
    topic: Annotated[str, typer.Argument(help="The topic that the message goes to.")],
    file: Annotated[Path, typer.Argument(help="The record's value, byte for byte.")],
    private: Annotated[Path, typer.Option("--key", help="The author's private key (PEM).")],
    name: Annotated[str, typer.Option(help="Name of the key, as its vkey has it.")],
) -> int:
    """Print the record header that proves who sends a message: `danbao-signature: key id:signature`."""
    from shared.adapters.crypto.signing import AuthorSigner, NoteSigner
    from shared.contracts.topics import SIGNATURE_HEADER, SPEAKERS
    from shared.domain.evidence.authors import Author
    from shared.domain.evidence.signed_note import ED25519

    if topic not in SPEAKERS:
        raise Refused(f"{topic}: signed are messages to {', '.join(SPEAKERS)}")
    try:
        value = file.read_bytes()
    except OSError as error:
        raise Refused(f"{file}: {error.strerror}") from error
    author = Author(NoteSigner(private, name, ED25519).verifier, SPEAKERS[topic])
    print(f"{SIGNATURE_HEADER}: {AuthorSigner.read(private, author).sign_message(topic, value).decode()}")
    return Exit.OK


def reversal(
    file: Annotated[Path, typer.Argument(help="The message of the remittance, as it was sent.")],
    remittance_id: Annotated[str, typer.Option("--id", help="Id of the reversal.")],
    reason: Annotated[str, typer.Option(help="wrong_day, wrong_amount, wrong_party, twice or returned.")],
    authority: Annotated[str, typer.Option(help="Number of the order to take the money back.")],
) -> int:
    """Print the message that takes a remittance back, for `remittances.v1`; the collecting authority signs it."""
    import msgspec

    from shared.contracts.manifests import RemittanceReceived

    try:
        sent = msgspec.json.decode(file.read_bytes(), type=RemittanceReceived)
        repeated = msgspec.to_builtins(sent) | {"remittance_id": remittance_id, "reverses": sent.remittance_id}
        message = msgspec.convert(repeated | {"reason": reason, "authority": authority}, RemittanceReceived)
    except OSError as error:
        raise Refused(f"{file}: {error.strerror}") from error
    except msgspec.MsgspecError as error:
        raise Refused(f"not a remittance that can be taken back: {error}") from error
    print(msgspec.json.encode(message).decode())
    return Exit.OK


def enterprise_key(
    file: Annotated[Path, typer.Argument(help="The private key (PEM); made, for its owner only, if it is not there.")],
    name: Annotated[str, typer.Option(help="Name of the key, such as rides.example/2027.")],
) -> int:
    """Print the vkey with which an enterprise is entered in enterprise-keys.csv."""
    from shared.adapters.crypto.signing import make_note_key
    from shared.domain.evidence.signed_note import ED25519

    print(make_note_key(file, name, ED25519))
    return Exit.OK


def sign_declaration(
    file: Annotated[Path, typer.Argument(help="A day.declared.v1 in JSON, with its revision and without signature.")],
    private: Annotated[Path, typer.Option("--key", help="The enterprise's private key (PEM).")],
    name: Annotated[str, typer.Option(help="Name of the key, as its vkey has it.")],
) -> int:
    """Print the event with its signature; the bytes of its data are left as they are."""
    from services.cli.operations.sign_declaration import add_signature
    from shared.adapters.crypto.signing import NoteSigner
    from shared.domain.evidence.signed_note import ED25519

    try:
        value = file.read_bytes()
    except OSError as error:
        raise Refused(f"{file}: {error.strerror}") from error
    print(add_signature(value, NoteSigner(private, name, ED25519)).decode())
    return Exit.OK
