"""`mainspring approve`: a person's answer to what an approval step asks."""

from __future__ import annotations

import sys
from pathlib import Path

import click


@click.command(short_help="Answer what a run's approval step asks.")
@click.argument("folder")
@click.option("--by", required=True, metavar="NAME", help="Your name among the approvers.")
@click.option("--key", required=True, type=click.Path(path_type=Path), help="Your private SSH key (Ed25519).")
@click.option("--reject", is_flag=True, help="Say no.")
@click.option("--yes", is_flag=True, help="Do not ask again.")
@click.option("--ask-passphrase", is_flag=True, help="Ask for the key's passphrase.")
def approve(folder: str, by: str, key: Path, reject: bool, yes: bool, ask_passphrase: bool) -> None:
    """Read the request in FOLDER (a path, gs:// or s3://), and sign an answer to it with your SSH key."""
    from mainspring.components.deployment import approvals

    request, _ = approvals.read_request(folder)
    approvals.check_approver(folder, request, by)
    click.echo(f"{request.target}: model {request.model_fingerprint}, asked {request.asked}, until {request.expires}")
    click.echo(request.summary)
    decision = approvals.REJECTED if reject else approvals.APPROVED
    if not yes and not click.confirm(f"Sign as {by}: {decision}?"):
        click.echo("not signed; nothing is changed, and the request still waits (--reject says no to it)")
        sys.exit(1)
    passphrase = click.prompt("Passphrase", hide_input=True) if ask_passphrase else ""
    given = approvals.answer(folder, decision, by, key, passphrase)
    click.echo(f"{given.decision} by {given.by} at {given.at}")
