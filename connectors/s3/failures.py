"""boto3's errors as dsync's. Texts of the server and of boto3 are left out: they can quote what was signed."""

from __future__ import annotations

import http.client
from collections.abc import Iterator
from contextlib import contextmanager

import botocore.exceptions as boto
import urllib3.exceptions

from connectors.s3.settings import Settings
from dsync.errors import CursorError, DsyncError, EndpointError, NotFoundError, TransientError, UsageError

_SIGN_IN = "check the keys, the profile and the clock; keys come from the options or the AWS configuration"
_RIGHTS = "the keys need the rights to list the bucket and to read, or write and delete, its objects"
_CHANGED = "copy again with --restart"

_TRANSIENT_CODES = frozenset(
    {
        "BadDigest",
        "IncompleteBody",
        "InternalError",
        "OperationAborted",
        "ProvisionedThroughputExceededException",
        "RequestLimitExceeded",
        "RequestTimeout",
        "RequestTimeoutException",
        "ServerBusy",
        "ServiceUnavailable",
        "SlowDown",
        "SlowDownRead",
        "SlowDownWrite",
        "Throttling",
        "ThrottlingException",
        "TooManyRequests",
        "TooManyRequestsException",
        "XAmzContentChecksumMismatch",
        "XMinioServerNotInitialized",
    }
)
_SIGNATURE_CODES = frozenset(
    {
        "AuthFailure",
        "ExpiredToken",
        "InvalidAccessKeyId",
        "InvalidSecurity",
        "InvalidToken",
        "RequestTimeTooSkewed",
        "SignatureDoesNotMatch",
        "TokenRefreshRequired",
    }
)
_REGION_CODES = frozenset(
    {
        "301",
        "AuthorizationHeaderMalformed",
        "IllegalLocationConstraintException",
        "PermanentRedirect",
        "Redirect",
        "TemporaryRedirect",
    }
)
_LEAST_SERVER_ERROR = 500

_UNREACHABLE = (
    boto.ConnectionError,
    boto.HTTPClientError,
    boto.ConnectionClosedError,
    boto.ReadTimeoutError,
    boto.ResponseStreamingError,
    boto.IncompleteReadError,
    urllib3.exceptions.HTTPError,
    http.client.HTTPException,
    OSError,
)
_UNSIGNED = (
    boto.NoCredentialsError,
    boto.PartialCredentialsError,
    boto.CredentialRetrievalError,
    boto.RefreshWithMFAUnsupportedError,
    boto.SSOError,
    boto.TokenRetrievalError,
    boto.InvalidConfigError,
)


@contextmanager
def explained(settings: Settings, key: str = "") -> Iterator[None]:
    """Raises the errors of a request about a key, or about the bucket, as errors of dsync."""
    try:
        yield
    except boto.ClientError as error:
        raise _of_answer(error, settings, key) from error
    except boto.FlexibleChecksumError as error:
        raise TransientError(f"{settings.shown(key)!r} did not arrive as it was stored") from error
    except _UNSIGNED as error:
        raise EndpointError(
            f"no valid credentials for {settings.shown()!r} ({type(error).__name__})", remedy=_SIGN_IN
        ) from error
    except boto.ProfileNotFound as error:
        raise UsageError(
            f"there is no AWS profile {settings.credentials.profile!r}", remedy="see `aws configure list-profiles`"
        ) from error
    except (boto.ParamValidationError, boto.UnsupportedS3ConfigurationError) as error:
        raise UsageError(f"{settings.shown(key)!r} is not a name that S3 takes ({type(error).__name__})") from error
    except _UNREACHABLE as error:
        server = settings.endpoint or "S3"
        raise TransientError(f"{server} could not be reached, or broke off ({type(error).__name__})") from error
    except boto.BotoCoreError as error:
        raise EndpointError(
            f"{settings.shown()!r} cannot be used ({type(error).__name__})",
            remedy="check the options and ~/.aws/config",
        ) from error


def _of_answer(error: boto.ClientError, settings: Settings, key: str) -> DsyncError:
    code = str(error.response.get("Error", {}).get("Code", ""))
    status = int(error.response.get("ResponseMetadata", {}).get("HTTPStatusCode") or 0)
    name, answer = settings.shown(key), f"{code or status}"
    if code in _TRANSIENT_CODES or status >= _LEAST_SERVER_ERROR or status == http.HTTPStatus.TOO_MANY_REQUESTS:
        return TransientError(f"S3 answered {answer} for {name!r}")
    if code in _REGION_CODES:
        return EndpointError(f"the bucket {settings.bucket!r} is in another region", remedy="name it with --region")
    if code == "NoSuchBucket":
        return EndpointError(f"there is no bucket {settings.bucket!r}", remedy="check its name, or create it")
    if code in ("PreconditionFailed", "412"):
        return CursorError(f"{name!r} has changed since the copy was planned", remedy=_CHANGED)
    if code in ("InvalidRange", "416"):
        return CursorError(f"{name!r} is shorter than when the copy was planned", remedy=_CHANGED)
    if code == "InvalidObjectState":
        return EndpointError(f"{name!r} is archived", remedy="restore it first, or leave it out of the prefix")
    if code in _SIGNATURE_CODES:
        return EndpointError(f"{settings.shown()!r} refused the credentials ({code})", remedy=_SIGN_IN)
    if status in (http.HTTPStatus.FORBIDDEN, http.HTTPStatus.UNAUTHORIZED):
        return EndpointError(f"{name!r} may not be used ({answer})", remedy=_RIGHTS)
    if status == http.HTTPStatus.NOT_FOUND:
        return NotFoundError(f"{name!r} is not there") if key else _not_s3(settings)
    return EndpointError(f"S3 answered {answer} for {name!r}", remedy="check the URI and the options")


def _not_s3(settings: Settings) -> EndpointError:
    return EndpointError(f"{settings.shown()!r} is not there", remedy="check the bucket's name and --endpoint")
