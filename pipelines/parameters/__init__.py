"""Parameters: how they are written, what a pipeline declares of them, and the values that every engine keeps."""

from mainspring.pipelines.parameters.notation import read_parameters as read_parameters
from mainspring.pipelines.parameters.notation import split_parameters as split_parameters
from mainspring.pipelines.parameters.values import typed_arguments as typed_arguments
