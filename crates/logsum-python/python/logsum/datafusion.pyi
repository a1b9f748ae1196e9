from datafusion import SessionContext

__all__ = ["register_all"]

def register_all(context: SessionContext) -> None: ...
