"""``caresep demo``: a page to drop a mixture on, and to listen to what comes out."""

from __future__ import annotations

import argparse
import os
import threading
from importlib.util import find_spec
from tempfile import TemporaryDirectory

from espnet2_caresep.cli.model_options import add_model_options, load_separator


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the options."""
    parser.description = (
        "Open a page in the browser: drop a mixture, mark the wanted sound in it or "
        "drop a clip of such a sound, listen to what is separated and see it. The page "
        "is served by this machine and, without --host or --share, seen by it alone. "
        "What is dropped is deleted when the command ends. Needs gradio: pip install "
        "'espnet2_caresep[demo]'."
    )
    parser.add_argument(
        "--host",
        default="127.0.0.1",
        help="address to serve at; 0.0.0.0 for all of this machine's (default: "
        "%(default)s)",
    )
    parser.add_argument(
        "--port",
        type=_port,
        help="port to serve at (default: the first free one from 7860)",
    )
    parser.add_argument(
        "--share",
        action="store_true",
        help="also make a public link for a week, through gradio's servers",
    )
    parser.add_argument(
        "--no-browser",
        action="store_true",
        help="open no browser, only say the address",
    )
    add_model_options(parser)


def run(args: argparse.Namespace) -> int:
    """Serves the page until it is interrupted.

    Raises:
        ValueError: If gradio is missing, or the model, the device, the address or the
            port cannot be used.
    """
    if find_spec("gradio") is None:
        raise ValueError("needs gradio: pip install 'espnet2_caresep[demo]'")
    separator = load_separator(args)
    with TemporaryDirectory(prefix="caresep_demo_") as folder:
        # Gradio reads both when it is imported.
        os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"
        os.environ["GRADIO_TEMP_DIR"] = folder
        from espnet2_caresep.cli.demo_page import build_page

        page = build_page(separator)
        try:
            page.launch(
                server_name=args.host,
                server_port=args.port,
                share=args.share,
                inbrowser=not args.no_browser,
                prevent_thread_lock=True,
                quiet=True,
                footer_links=["gradio", "settings"],
            )
        except OSError as error:
            port = "a free port" if args.port is None else f"port {args.port}"
            raise ValueError(
                f"{port} of {args.host} cannot be had; choose another --port or --host"
            ) from error
        print(f"{page.local_url} (Ctrl-C ends it)", flush=True)
        if page.share_url:
            print(f"{page.share_url} (public)", flush=True)
        try:
            threading.Event().wait()
        except KeyboardInterrupt:
            return 0
        finally:
            page.close(verbose=False)


def _port(given: str) -> int:
    if not given.isascii() or not given.isdigit() or not 1 <= int(given) <= 65535:
        raise argparse.ArgumentTypeError(f"must be 1 to 65535, not {given}")
    return int(given)
