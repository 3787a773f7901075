"""Standard library logging straight into an ``.etl`` file, configured with plain values.

python examples/handler_to_etl.py app.etl && otel-etw view app.etl
"""

import logging
import logging.config
import os
import sys

CONFIGURATION = {
    "version": 1,
    "handlers": {
        "etw": {
            "class": "otel_etw.EtwHandler",
            "level": "INFO",
            "provider_name": "MyCompany_MyApp",
            "log_code_attributes": True,
            "structured_body": True,
        }
    },
    "root": {"level": "INFO", "handlers": ["etw"]},
}


def main(path: str) -> None:
    os.environ["OTEL_EXPORTER_ETW_FILE"] = path
    os.environ.setdefault("OTEL_SERVICE_NAME", "orders")
    logging.config.dictConfig(CONFIGURATION)

    log = logging.getLogger("orders")
    log.info("order %d accepted", 17, extra={"customer": "ann", "items": ["tea", "cups"]})
    log.info({"article": "tea", "left": 3})
    try:
        print(10 / 0)
    except ZeroDivisionError:
        log.exception("no price per cup")
    logging.shutdown()
    print(f"log records in {path}")


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else "app.etl")
